"""A .pt2 archive in PyTorch itself."""

from pathlib import Path
from typing import Any

import torch


class Runner:
    def __init__(self, file: Path, threads: int) -> None:
        torch.set_num_threads(threads)
        program = torch.export.load(file)
        self.module = program.module()
        self.tree = program.call_spec.in_spec
        self.what = f"{file.name} in PyTorch {torch.__version__}"
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        signature = program.graph_signature
        self.inputs = [port(name, values[name]) for name in signature.user_inputs if isinstance(name, str)]
        self.outputs = [port(name, values[name]) for name in signature.user_outputs if isinstance(name, str)]

    def run(self, tensors: list[Any]) -> list[Any]:
        args, kwargs = torch.utils._pytree.tree_unflatten([torch.from_numpy(t.copy()) for t in tensors], self.tree)
        with torch.no_grad():
            found = self.module(*args, **kwargs)
        return [t.detach().numpy() for t in torch.utils._pytree.tree_leaves(found) if isinstance(t, torch.Tensor)]

    def layers(self, tensors: list[Any]) -> dict[str, Any]:
        return dict(zip([o["name"] for o in self.outputs], self.run(tensors), strict=True))


def port(name: str, value: Any) -> dict[str, Any]:
    shape = [size if isinstance(size, int) else None for size in value.shape]
    return {"name": name, "dtype": str(value.dtype).removeprefix("torch."), "shape": shape}


def open_file(file: Path, header: dict[str, Any]) -> Runner:
    return Runner(file, header["threads"])
