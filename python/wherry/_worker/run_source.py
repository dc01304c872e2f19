"""Generated source code (.py) in the framework that it is written for, with the weights that lie beside it."""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any


class TorchRunner:
    def __init__(self, file: Path, names: Any, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch = torch
        self.module = names.load_weights(getattr(names, names.__all__[0])(), weights(file, names)).eval()
        self.what = f"{file.name} in PyTorch {torch.__version__}"

    def run(self, tensors: list[Any]) -> list[Any]:
        with self.torch.no_grad():
            found = self.module(*(self.torch.from_numpy(t.copy()) for t in tensors))
        return [t.numpy() for t in outputs(found)]

    def layers(self, tensors: list[Any]) -> dict[str, Any]:
        """What every module gives, by its path."""
        found: dict[str, Any] = {}

        def keep(path: str) -> Any:
            def hook(_module: Any, _inputs: Any, output: Any) -> None:
                if isinstance(output, self.torch.Tensor):
                    found[path] = output.numpy().copy()

            return hook

        hooks = [
            module.register_forward_hook(keep(path))
            for path, module in self.module.named_modules()
            if path and not isinstance(module, self.torch.nn.Identity)
        ]
        try:
            self.run(tensors)
        finally:
            for hook in hooks:
                hook.remove()
        return found


class JaxRunner:
    def __init__(self, file: Path, names: Any) -> None:
        import jax

        model = getattr(names, names.__all__[0])()
        self.params = names.load_weights(model, weights(file, names))
        self.apply = jax.jit(model.apply)
        self.what = f"{file.name} in JAX {jax.__version__}"

    def run(self, tensors: list[Any]) -> list[Any]:
        import numpy as np

        return [np.asarray(y) for y in outputs(self.apply(self.params, *tensors))]

    def layers(self, tensors: list[Any]) -> dict[str, Any]:
        return dict(zip([port["name"] for port in self.outputs], self.run(tensors), strict=True))


class NnxRunner(JaxRunner):
    def __init__(self, file: Path, names: Any) -> None:
        import flax

        model = getattr(names, names.__all__[0])(rngs=names.nnx.Rngs(0))
        model = names.load_weights(model, weights(file, names))
        self.params, self.apply = (), lambda _, *tensors: model(*tensors)
        self.what = f"{file.name} in Flax {flax.__version__}"


class KerasRunner:
    """Images lie channels last, which the record of orders tells the program."""

    def __init__(self, file: Path, names: Any, header: dict[str, Any], backend: str) -> None:
        import run_keras

        run_keras.limit_threads(backend, header["threads"])
        self.keras = names.keras
        self.model = names.load_weights(getattr(names, names.__all__[0])(), weights(file, names))
        self.what = f"{file.name} in Keras {self.keras.__version__} on {run_keras.BACKENDS.get(backend, backend)}"
        self.orders = {port["name"]: order(port["shape"], port["dtype"]) for port in [*header["inputs"], *header["outputs"]]}
        self.provenance = self.record([])

    def record(self, layers: list[Any]) -> str:
        record = {"generator": "", "source": "", "source_hash": "", "precision": "float32", "io": "nhwc", "ports": self.orders}
        return json.dumps(record | {"layers": layers})

    def run(self, tensors: list[Any]) -> list[Any]:
        given = [self.keras.ops.convert_to_tensor(t) for t in tensors]
        found = self.model(given[0] if len(given) == 1 else given, training=False)
        return [self.keras.ops.convert_to_numpy(y) for y in outputs(found)]

    def layers(self, tensors: list[Any]) -> dict[str, Any]:
        """What every layer gives, by its path, channels first."""
        found: dict[str, Any] = {}

        def watch(layer: Any, path: str) -> None:
            call = layer.call

            def keep(*args: Any, **kwargs: Any) -> Any:
                output = call(*args, **kwargs)
                if self.keras.ops.is_tensor(output):
                    array = self.keras.ops.convert_to_numpy(output)
                    last = order(array.shape, array.dtype.name)
                    found[path] = array.transpose(last) if len(last) == 4 else array
                return output

            layer.call = keep

        watched = [(layer, path) for layer, path in sublayers(self.model, "") if type(layer).__name__ != "Identity"]
        for layer, path in watched:
            watch(layer, path)
        try:
            self.run(tensors)
        finally:
            for layer, _ in watched:
                del layer.call
        return found


def sublayers(layer: Any, path: str) -> Any:
    """All layers within, by the names along the way."""
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        name = f"{path}-{inner.name}" if path else inner.name
        yield inner, name
        yield from sublayers(inner, name)


def order(shape: Any, dtype: str) -> list[int]:
    """Where the axes of the source's value lie in Keras's."""
    image = len(shape) == 4 and dtype in ("float16", "bfloat16", "float32", "float64")
    return [0, 3, 1, 2] if image else list(range(len(shape)))


def in_order(port: dict[str, Any]) -> dict[str, Any]:
    """A port as Keras has it."""
    shape = list(port["shape"])
    for axis, place in enumerate(order(shape, port["dtype"])):
        shape[place] = port["shape"][axis]
    return port | {"shape": shape}


def outputs(found: Any) -> list[Any]:
    """Several outputs are a map in the text's order."""
    return list(found.values()) if isinstance(found, dict) else [found]


def weights(file: Path, names: Any) -> Path:
    """The file that load_weights reads unless told otherwise, beside the source."""
    return file.parent / names.load_weights.__defaults__[0]


def open_file(file: Path, header: dict[str, Any]) -> Any:
    text = file.read_text(encoding="utf-8")
    backend = ""
    if "\nimport keras\n" in text:
        import run_keras

        backend = run_keras.choose_backend(header.get("backend", ""))
        os.environ["KERAS_BACKEND"] = backend
    spec = importlib.util.spec_from_loader(file.name, loader=None)
    names = importlib.util.module_from_spec(spec)
    exec(compile(text, str(file), "exec"), names.__dict__)
    if not hasattr(names, "load_weights") or not hasattr(names, "__all__"):
        raise ValueError("this is not source code that Wherry wrote: it has no load_weights()")
    if backend:
        runner: Any = KerasRunner(file, names, header, backend)
    elif hasattr(names, "nn"):
        runner = TorchRunner(file, names, header["threads"])
    else:
        runner = (NnxRunner if hasattr(names, "nnx") else JaxRunner)(file, names)
    turned = in_order if backend else lambda port: port
    runner.inputs, runner.outputs = ([turned(p) for p in header[way]] for way in ("inputs", "outputs"))  # the source does not fix its types
    return runner
