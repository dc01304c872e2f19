"""Keras: a model as a live keras.Model, a live one as a model, and trained weights by the text's keys."""

import re
import tempfile
from collections.abc import Iterable, Iterator
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
        model.convert(file, verify=False, nested=nested)
        return keras.saving.load_model(file, compile=False)


def is_keras(source: Any) -> bool:
    """Whether this is a keras.Model, without importing Keras for what is none."""
    return any(base.__module__.startswith("keras.") for base in type(source).__mro__)


def arrays_by_key(model: Any, known: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """The weights of a model that Wherry wrote, by the keys of the text: "stem.conv.weight".

    known: the text's keys. They tell what layers' names do not: where '-' stands for '.', and whether a name began with '_'.
    """
    keys = {_as_layers_name_it(key): key for key in known}
    arrays = {}
    for path, layer, variable in _variables(model, ""):
        name, array = _as_source(layer, variable.name, np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable))
        key = f"{path}.{name}" if path else name
        arrays[keys.get(_as_layers_name_it(key), key)] = np.ascontiguousarray(array)
    return arrays


def _as_layers_name_it(key: str) -> str:
    return re.sub(r"(^|[.-])_+", r"\1", key).replace("-", ".")


def _variables(layer: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Each variable with its layer and the names along the way."""
    inner = list(layer._flatten_layers(include_self=False, recursive=False))
    within = {id(variable) for sub in inner for variable in sub.weights}
    yield from ((path, layer, variable) for variable in layer.weights if id(variable) not in within)
    for sub in inner:
        name = sub.name.replace("-", ".")
        whole = not path or hasattr(layer, "layers")  # in nested models names are whole paths, within a layer they are not
        yield from _variables(sub, name if whole else f"{path}.{name}")


def _as_source(layer: Any, name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """PyTorch's name of a layer's variable and its numbers in PyTorch's order: channels before places, out before in."""
    kind = type(layer).__name__
    if any(layer._flatten_layers(include_self=False, recursive=False)):
        return name.replace("-", "."), array  # of a block's own
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
