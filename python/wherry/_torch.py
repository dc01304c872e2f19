"""PyTorch: a model as a live torch.nn.Module, and a live module as a model."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wherry._errors import WherryError
from wherry._source import executed, needed


def to_torch(model: Any) -> Any:
    """The module with the model's weights, in eval mode."""
    torch = needed("torch", "torch", "to_torch()")
    needed("torch", "safetensors", "to_torch()")
    code, entry = model.source("torch")
    module = getattr(executed(code, f"{model.name}.py"), entry)()
    module.load_state_dict({key: torch.from_numpy(np.array(array)) for key, array in model.weights().items()})
    return module.eval()


def export(module: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None, dynamic_shapes: Any, archive: Path) -> None:
    """Writes the .pt2 archive of a live module."""
    torch = needed("torch", "torch", "a live module")
    if getattr(module, "training", False):
        raise WherryError("the module is in training mode, where dropout and batch norm behave otherwise: call module.eval() first")
    program = torch.export.export(module, tuple(args), dict(kwargs or {}) or None, dynamic_shapes=dynamic_shapes)
    torch.export.save(program, archive)


def from_torch(
    module: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    name: str | None = None,
) -> Any:
    """The model of a live module in eval mode. `args` and `kwargs` are as for calling it; names of layers are the module's own."""
    from wherry._model import Model

    folder = tempfile.TemporaryDirectory(prefix="wherry-")
    archive = Path(folder.name) / f"{name or type(module).__name__.lower()}.pt2"
    export(module, args, kwargs, dynamic_shapes, archive)
    model = Model(archive)
    model._folder = folder  # lives as long as the model
    return model
