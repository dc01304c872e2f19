"""Generated source code (.py) in the framework that it is written for, with the weights that lie beside it."""

import importlib.util
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


def outputs(found: Any) -> list[Any]:
    """Several outputs are a map in the text's order."""
    return list(found.values()) if isinstance(found, dict) else [found]


def weights(file: Path, names: Any) -> Path:
    """The file that load_weights reads unless told otherwise, beside the source."""
    return file.parent / names.load_weights.__defaults__[0]


def open_file(file: Path, header: dict[str, Any]) -> Any:
    spec = importlib.util.spec_from_loader(file.name, loader=None)
    names = importlib.util.module_from_spec(spec)
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), names.__dict__)
    if not hasattr(names, "load_weights") or not hasattr(names, "__all__"):
        raise ValueError("this is not source code that Wherry wrote: it has no load_weights()")
    if hasattr(names, "nn"):
        runner: Any = TorchRunner(file, names, header["threads"])
    else:
        runner = (NnxRunner if hasattr(names, "nnx") else JaxRunner)(file, names)
    runner.inputs, runner.outputs = header["inputs"], header["outputs"]  # the source itself does not fix its types
    return runner
