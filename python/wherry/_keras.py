"""Keras: a model as a live keras.Model, a live one as a model, and trained weights by the text's keys."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from wherry._errors import WherryError

BATCH_NORM = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def keras_module() -> Any:
    try:
        import keras
    except ImportError:
        raise WherryError("Keras is not installed: pip install 'wherry[keras]'") from None
    return keras


def to_keras(model: Any, *, nested: bool = False) -> Any:
    """The keras.Model, on the backend that Keras runs on, with the model's weights."""
    keras = keras_module()
    with tempfile.TemporaryDirectory(prefix="wherry-") as folder:
        file = Path(folder) / f"{model.name}.keras"
        model.convert(file, verify=False, **({"nested": True} if nested else {}))
        return keras.saving.load_model(file, compile=False)


def is_keras(source: Any) -> bool:
    """Whether this is a keras.Model, without importing Keras for what is none."""
    return any(base.__module__.startswith("keras.") for base in type(source).__mro__)


def arrays_by_key(model: Any) -> dict[str, np.ndarray]:
    """The weights of a model that to_keras() or a .keras of Wherry's gave, by the keys of the text: "stem.conv.weight"."""
    arrays = {}
    for path, layer in _layers(model, ""):
        for variable in layer.variables:
            name = variable.name
            if name == "seed_generator_state":
                continue
            key, array = _as_source(layer, name, np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable))
            arrays[f"{path}.{key}"] = np.ascontiguousarray(array)
    return arrays


def _layers(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for layer in model.layers:
        path = prefix + layer.name.replace("-", ".")
        if hasattr(layer, "layers"):
            yield from _layers(layer, path + ".")
        elif layer.variables:
            yield path, layer


def _as_source(layer: Any, name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """PyTorch's name of a layer's variable and its numbers in PyTorch's order: channels before places, out before in."""
    kind = type(layer).__name__
    if kind in ("BatchNormalization", "LayerNormalization", "GroupNormalization"):
        return BATCH_NORM[name], array
    if kind in ("PReLU", "Embedding"):
        return "weight", array.reshape(-1) if kind == "PReLU" else array
    if name == "bias":
        return "bias", array
    if name != "kernel":
        raise WherryError(f"layer '{layer.name}' ({kind}) has a weight '{name}' that no operator of Wherry's has")
    places = tuple(range(array.ndim - 2))
    if kind.startswith("DepthwiseConv"):
        turned = array.transpose(array.ndim - 2, array.ndim - 1, *places)
        return "weight", turned.reshape(-1, 1, *turned.shape[2:])
    return "weight", array.transpose(array.ndim - 1, array.ndim - 2, *places)


def from_keras(model: Any) -> Any:
    """The model of a live functional or sequential keras.Model; layers keep their names, '.' for '-'."""
    from wherry._model import Model

    folder = tempfile.TemporaryDirectory(prefix="wherry-")
    file = Path(folder.name) / f"{model.name}.keras"
    model.save(file)
    found = Model(file)
    found._folder = folder  # lives as long as the model
    return found
