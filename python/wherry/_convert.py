"""wherry.convert: files, or a live PyTorch module that is exported first and compared with the result last."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from wherry import _wherry
from wherry._errors import Mismatch, WherryError, translated
from wherry._model import TfliteModel

TOLERANCE = {"float32": 1e-4, "float16": 2e-2, "dynamic": 0.6, "int8-weights": 0.35, "int4": 0.6}


@dataclass
class Conversion:
    """What a conversion did: the keys that `wherry convert --json` prints, and the error against PyTorch where there was one."""

    report: dict[str, Any]
    pytorch_error: float | None = None  # max |PyTorch - LiteRT| as a part of max |PyTorch|

    @property
    def output(self) -> Path:
        return Path(self.report["output"])

    def __getattr__(self, key: str) -> Any:
        try:
            return self.report[key]
        except KeyError:
            raise AttributeError(key) from None


@translated
def convert(
    source: Any,
    args: Sequence[Any] | None = None,
    out: str | PathLike | None = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None,
    precision: str = "float32",
    to: str = "",
    io: str | None = None,
    verify: bool = True,
    tolerance: float | None = None,
    threads: int = 2,
    weights: str | PathLike | None = None,
    seed: int | None = None,
    dims: Mapping[str, int] | None = None,
    nested: bool = False,
    l1_cache: int | None = None,
) -> Conversion:
    """Converts a model and verifies the result.

    source: a .pt2 archive or a text as a path; or a torch.nn.Module in eval mode, with `args` (and `kwargs`) as for calling it.
    out: the file to write; its suffix names the target (.tflite, .keras, .onnx, .yaml, .json, .py).
    to: the framework of a .py: torch, keras, jax or nnx. nested: in a .keras each block is a model within the model.
    precision: float32, float16, dynamic, int8-weights or int4. io: nhwc or nchw, the layout of image inputs and outputs (.tflite: nhwc).
    tolerance: the largest error allowed, as a part of max|output| (float32: 1e-4, float16: 2e-2).
    l1_cache: kilobytes of the CPU's first data cache, which wide depthwise convolutions of a float .tflite are split to fit: faster on
    one thread, slower on more.
    weights, seed: for a text. dims: sizes for symbolic dimensions, {"batch": 1}.

    Raises WherryError with all messages, or Mismatch when the result differs from its source (nothing is left under `out`).
    """
    if out is None:
        raise WherryError("say where to write: wherry.convert(source, out='model.tflite')")
    options = {
        "precision": precision, "to": to, "io": io or "", "verify": verify, "tolerance": tolerance, "threads": threads,
        "weights": str(weights or ""), "seed": seed, "dims": dict(dims or {}), "nested": nested, "l1_cache": l1_cache,
    }  # fmt: skip
    if isinstance(source, str | PathLike):
        return _convert_file(Path(source), Path(out), options)
    return _convert_module(source, tuple(args or ()), dict(kwargs or {}), dynamic_shapes, Path(out), options)


def _convert_file(source: Path, out: Path, options: dict[str, Any]) -> Conversion:
    report = json.loads(_wherry.convert(source, out, **options))
    if options["verify"] and not report["verified"] and "first_mismatch" in report:
        raise Mismatch(
            f"the file does not match its source: error {report['relative_error']} of the scale; "
            f"{report['first_mismatch']} is the first layer that differs; nothing was written"
        )
    return Conversion(report)


def _convert_module(module: Any, args: tuple, kwargs: dict, dynamic_shapes: Any, out: Path, options: dict) -> Conversion:
    from wherry._torch import export

    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / f"{out.stem}.pt2"
        export(module, args, kwargs, dynamic_shapes, archive)
        draft = Path(folder) / out.name if out.suffix == ".tflite" and options["verify"] else out
        conversion = _convert_file(archive, draft, options)
        if draft != out:
            conversion.pytorch_error = _compare_with_pytorch(module, args, kwargs, draft, conversion.io, options)
            _move(draft, out)
            conversion.report["output"] = str(out)
    return conversion


def _compare_with_pytorch(module: Any, args: tuple, kwargs: dict, file: Path, io: str, options: dict) -> float:
    """Runs both; raises Mismatch beyond the tolerance."""
    import torch

    with torch.no_grad():
        expected = [t.detach().numpy() for t in torch.utils._pytree.tree_leaves(module(*args, **kwargs)) if isinstance(t, torch.Tensor)]
    given = [t.detach().numpy() for t in torch.utils._pytree.tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    model = TfliteModel(file, options["threads"])
    channels_last = io == "nhwc"
    found = model.run([np.moveaxis(a, 1, -1) if channels_last and _is_image(a) else a for a in given])
    limit = options["tolerance"] or TOLERANCE[options["precision"]]
    error = 0.0
    for name, want, have in zip((name for name, _ in model.outputs), expected, found, strict=True):
        have = np.moveaxis(have, -1, 1) if channels_last and _is_image(want) else have
        scale = float(np.max(np.abs(want), initial=0)) or 1.0
        difference = float(np.max(np.abs(want.astype(np.float64) - have), initial=0)) / scale
        if not difference <= limit:
            raise Mismatch(
                f"output '{name}' differs from PyTorch by {difference:.2e} of its scale (limit {limit:.0e}); nothing was written"
            )
        error = max(error, difference)
    return error


def _is_image(array: np.ndarray) -> bool:
    """Whether a channels-last file takes or gives this array with its channels moved last."""
    return array.ndim == 4 and array.dtype.kind == "f"


def _move(draft: Path, out: Path) -> None:
    part = out.with_name(out.name + ".part")
    try:
        part.write_bytes(draft.read_bytes())
        part.replace(out)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise WherryError(f"cannot write '{out}': {error.strerror}") from None
