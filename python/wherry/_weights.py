"""Weights by key, out of whatever holds them: a PyTorch module, a Keras model, a JAX or NNX tree, a map."""

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from wherry import _wherry
from wherry._errors import WherryError, translated
from wherry._keras import arrays_by_key, is_keras

TRAINING_ONLY = "num_batches_tracked"  # PyTorch counts batches in it; no result depends on it


def arrays_of(source: Any, known: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """The weights by the keys that the text's own file has: "stem.conv.weight". known: these keys, where the text is at hand."""
    if is_keras(source):
        source = arrays_by_key(source, known)
    elif hasattr(source, "state_dict"):
        source = source.state_dict()
    elif hasattr(source, "arrays_by_key"):
        source = source.arrays_by_key()
    if not isinstance(source, Mapping):
        raise WherryError(f"weights come from a module, a tree of arrays or a map of them, not from a {type(source).__name__}")
    return {key: _array(key, leaf) for key, leaf in _leaves(source, "") if not key.endswith(TRAINING_ONLY)}


def _leaves(tree: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        key = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping):
            yield from _leaves(value, key)
        else:
            yield key, value


def _array(key: str, leaf: Any) -> np.ndarray:
    if hasattr(leaf, "detach"):
        leaf = leaf.detach().cpu()
        leaf = leaf.float() if str(leaf.dtype) == "torch.bfloat16" else leaf
    try:
        array = np.ascontiguousarray(leaf).reshape(np.shape(leaf))
    except (TypeError, ValueError):
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise WherryError(f"weight '{key}' is no array of numbers but a {type(leaf).__name__}")
    return array


@translated
def save_weights(source: Any, file: str | PathLike) -> Path:
    """Writes the weights of a module, a JAX tree or a map of arrays as safetensors, and returns the file."""
    _wherry.write_weights(Path(file), arrays_of(source))
    return Path(file)
