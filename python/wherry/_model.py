"""Sources and results as objects: run them, look at them, save them."""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from wherry import _wherry
from wherry._errors import WherryError, translated

Arrays = Sequence[np.ndarray] | Mapping[str, np.ndarray]
_TYPE = re.compile(r"(\w+)\[(.*)\]")


def numpy_dtype(type_text: str) -> np.dtype:
    """The dtype of "float32[1, 3, 224, 224]"; what NumPy lacks is carried in a wider type, bfloat16 in float32."""
    return np.dtype(_wherry.carrier(_TYPE.fullmatch(type_text).group(1)))


def ordered(inputs: Arrays, ports: list[tuple[str, str]]) -> list[np.ndarray]:
    """Arrays in the ports' order, contiguous and of their types."""
    if isinstance(inputs, Mapping):
        missing = [name for name, _ in ports if name not in inputs]
        if missing:
            raise WherryError(f"inputs missing: {', '.join(missing)}; the model takes {ports}")
        inputs = [inputs[name] for name, _ in ports]
    if len(inputs) != len(ports):
        raise WherryError(f"{len(inputs)} inputs given, the model takes {len(ports)}: {ports}")
    return [np.ascontiguousarray(a, dtype=numpy_dtype(kind)) for a, (_, kind) in zip(inputs, ports, strict=True)]


class Model:
    """A source: a .pt2 archive, or a text with its weights."""

    @translated
    def __init__(
        self,
        file: str | PathLike,
        weights: str | PathLike | None = None,
        seed: int | None = None,
        dims: Mapping[str, int] | None = None,
    ) -> None:
        self.file = Path(file)
        self._options = {"weights": str(weights or ""), "seed": seed, "dims": dict(dims or {})}
        self._folder: Any = None  # holds what is not in a file of the user's
        self._native = _wherry.Loaded(self.file, *self._options.values())

    @property
    def name(self) -> str:
        return self._native.name

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """(name, type) of each input: [("x", "float32[1, 3, 224, 224]")]."""
        return self._native.inputs

    @property
    def outputs(self) -> list[tuple[str, str]]:
        return self._native.outputs

    def tree(self) -> dict[str, Any]:
        """Layers with shapes, parameters and multiply-accumulates, as `wherry show --json` prints them."""
        return json.loads(self._native.tree())

    @translated
    def run(self, inputs: Arrays) -> list[np.ndarray]:
        """The outputs by the reference evaluator."""
        return self._native.run(ordered(inputs, self.inputs))

    @translated
    def layers(self, inputs: Arrays) -> dict[str, np.ndarray]:
        """Every intermediate value by its layer's path, in execution order."""
        return self._native.layers(ordered(inputs, self.inputs))

    @translated
    def weights(self) -> dict[str, np.ndarray]:
        return self._native.weights()

    @translated
    def text(self, form: str = "yaml") -> str:
        """The model as YAML or JSON text."""
        return self._native.text(form == "json")

    def difference(self, other: "Model") -> str:
        """In which layer, hyperparameter or weight another model differs first; "" where all are the same, bit for bit."""
        return self._native.difference(other._native)

    @translated
    def source(self, framework: str) -> tuple[str, str]:
        """Source code for a framework ("torch", "keras", "jax", "nnx"), and the name of the class or function that is the whole model."""
        return self._native.source(framework)

    def to_torch(self) -> Any:
        """A torch.nn.Module in eval mode; the keys of its state_dict() are those of the text's weights."""
        from wherry._torch import to_torch

        return to_torch(self)

    def to_jax(self) -> Any:
        """(apply, params): a function apply(params, x) for jax.jit and jax.grad, and its tree of parameters."""
        from wherry._jax import to_jax

        return to_jax(self)

    @translated
    def update(self, weights: Any) -> "Model":
        """Takes trained weights back, from a PyTorch module, a Keras model, a JAX tree or a map of arrays by key; the text stays as it is.

        What is missing, left over or of another shape is a WherryError that lists it, and nothing changes.
        """
        from wherry._weights import arrays_of

        folder = tempfile.TemporaryDirectory(prefix="wherry-")
        text = self.file
        if text.suffix not in (".yaml", ".yml", ".json"):
            text = Path(folder.name) / f"{self.name}.yaml"
            text.write_text(self.text(), encoding="utf-8")
        file = Path(folder.name) / f"{self.name}.safetensors"
        _wherry.write_weights(file, arrays_of(weights, self._native.weights().keys()))
        options = self._options | {"weights": str(file), "seed": None}
        self._native = _wherry.Loaded(text, *options.values())
        self.file, self._options, self._folder = text, options, folder
        return self

    def to_keras(self, *, nested: bool = False) -> Any:
        """A keras.Model on the backend that Keras runs on, to call, train or save; its layers have the text's paths, '-' for '.'.

        nested: each block of the text is a model within the model.
        """
        from wherry._keras import to_keras

        return to_keras(self, nested=nested)

    def convert(self, out: str | PathLike, **options: Any) -> Any:
        """Writes `out`; see wherry.convert."""
        from wherry._convert import convert

        given = {key: value for key, value in self._options.items() if value not in ("", None, {})}
        return convert(self.file, out=out, **(given | options))


def load(file: str | PathLike, **options: Any) -> Model:
    """Reads a .pt2 archive or a text (.yaml, .json). Options: weights=FILE, seed=N, dims={"batch": 1}."""
    return Model(file, **options)


class TfliteModel:
    """A .tflite file in LiteRT."""

    @translated
    def __init__(self, file: str | PathLike, threads: int = 1) -> None:
        self._native = _wherry.LiteRt(Path(file), threads)

    @property
    def inputs(self) -> list[tuple[str, str]]:
        return self._native.inputs

    @property
    def outputs(self) -> list[tuple[str, str]]:
        return self._native.outputs

    @translated
    def run(self, inputs: Arrays) -> list[np.ndarray]:
        return self._native.run(ordered(inputs, self.inputs))
