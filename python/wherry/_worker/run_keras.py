"""A .keras archive in Keras 3, on the backend that was asked for, or on the one that is installed."""

import os
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}


def choose_backend(wanted: str) -> str:
    if not find_spec("keras"):
        raise ModuleNotFoundError(name="keras")
    chosen = wanted or os.environ.get("KERAS_BACKEND", "")
    if not chosen:
        chosen = next((name for name in BACKENDS if find_spec(name)), "tensorflow")
    if not find_spec(chosen):
        raise ModuleNotFoundError(name=chosen)
    return chosen


class Runner:
    def __init__(self, file: Path, backend: str, threads: int) -> None:
        import keras
        import numpy as np

        self.keras, self.numpy = keras, np
        limit_threads(backend, threads)
        with zipfile.ZipFile(file) as archive:
            named = "wherry.json" in archive.namelist()
            self.provenance = archive.read("wherry.json").decode() if named else ""
        self.model = load(keras, file)
        self.what = f"{file.name} in Keras {keras.__version__} on {BACKENDS.get(backend, backend)}"
        self.inputs = [port(tensor.name, tensor) for tensor in self.model.inputs]
        names = getattr(self.model, "output_names", None) or [tensor.name for tensor in self.model.outputs]
        self.outputs = [port(name, tensor) for name, tensor in zip(names, self.model.outputs, strict=True)]

    def run(self, tensors: list[Any]) -> list[Any]:
        return self.numbers(self.model, tensors)

    def layers(self, tensors: list[Any]) -> dict[str, Any]:
        """What each layer gives, by its name; a nested model's layers too where they are part of one graph."""
        found = {}
        for layer in self.model.layers:
            nodes = getattr(layer, "_inbound_nodes", [])
            if len(nodes) == 1 and len(nodes[0].output_tensors) == 1:
                found[layer.name] = nodes[0].output_tensors[0]
        model = self.keras.Model(self.model.inputs, list(found.values()))
        return dict(zip(found, self.numbers(model, tensors), strict=True))

    def numbers(self, model: Any, tensors: list[Any]) -> list[Any]:
        given = [self.keras.ops.convert_to_tensor(t) for t in tensors]
        result = model(given[0] if len(given) == 1 else given, training=False)
        return [self.keras.ops.convert_to_numpy(t) for t in self.keras.tree.flatten(result)]


def load(keras: Any, file: Path) -> Any:
    """Keras wants the suffix; a file under construction has another."""
    with tempfile.TemporaryDirectory() as folder:
        name = Path(folder) / "model.keras"
        name.symlink_to(file)
        return keras.saving.load_model(name, compile=False)


def limit_threads(backend: str, threads: int) -> None:
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)


def port(name: str, tensor: Any) -> dict[str, Any]:
    return {"name": name, "dtype": tensor.dtype, "shape": list(tensor.shape)}


def open_file(file: Path, header: dict[str, Any]) -> Runner:
    backend = choose_backend(header.get("backend", ""))
    os.environ["KERAS_BACKEND"] = backend
    return Runner(file, backend, header["threads"])
