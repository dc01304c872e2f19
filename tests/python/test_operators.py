"""Every operator example: the reference evaluator against PyTorch, called as the operator says in `source.torch`."""

import functools
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ROOT = pathlib.Path(__file__).resolve().parents[2]


def dump_tool():
    """The newest dump_examples of any build folder, or the one that $WHERRY_BUILD names."""
    named = os.environ.get("WHERRY_BUILD")
    found = [pathlib.Path(named) / "tests/dump_examples"] if named else list((ROOT / "build").glob("*/tests/dump_examples"))
    found = [path for path in found if path.exists()]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


class Functional:
    """torch.nn.functional with what Wherry's operators take beyond it."""

    def __getattr__(self, name):
        return getattr(torch.nn.functional, name)

    def conv2d(self, x, weight, bias, stride, padding, dilation, groups):
        """Padding may be given for each end: before and after, axis by axis."""
        if isinstance(padding, list) and len(padding) == 4:
            top, bottom, left, right = padding
            x, padding = torch.nn.functional.pad(x, [left, right, top, bottom]), 0
        return torch.nn.functional.conv2d(x, weight, bias, stride, padding, dilation, groups)

    def interpolate(self, x, size, scale_factor, mode, align_corners):
        """One scale factor stands for all axes, also in a list."""
        if isinstance(scale_factor, list) and len(scale_factor) == 1:
            scale_factor = scale_factor[0]
        return torch.nn.functional.interpolate(x, size, scale_factor, mode, align_corners)


@functools.cache
def examples():
    tool = dump_tool()
    if tool is None:
        return None, []
    folder = tool.parent / "examples"
    folder.mkdir(exist_ok=True)
    subprocess.run([tool, folder], check=True)
    return (folder / "examples.bin").read_bytes(), json.loads((folder / "examples.json").read_text())


def tensor(entry):
    data, _ = examples()
    dtype = {"bool": np.bool_}.get(entry["dtype"], entry["dtype"])
    count = int(np.prod(entry["shape"], dtype=np.int64))
    array = np.frombuffer(data, dtype=dtype, count=count, offset=entry["offset"])
    return torch.from_numpy(array.reshape(entry["shape"]).copy())


def test_examples_are_there():
    if dump_tool() is None:
        pytest.skip("dump_examples is not built: make build")
    assert len(examples()[1]) > 150


@pytest.mark.parametrize("entry", examples()[1], ids=lambda entry: entry["example"])
def test_reference_equals_torch(entry):
    assert entry["torch"], f"{entry['op']} has no PyTorch source text"
    names = {name: tensor(spec) for name, spec in entry["tensors"].items()}
    with torch.no_grad():
        found = eval(entry["torch"], {"torch": torch, "F": Functional(), "functools": functools}, names)
    if isinstance(found, torch.Tensor):
        found = [found]
    expected = [tensor(spec) for spec in entry["outputs"]]
    assert len(found) == len(expected)
    for ours, theirs in zip(expected, found, strict=True):
        theirs = torch.as_tensor(theirs)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        scale = max(1.0, theirs.abs().max().item() if theirs.is_floating_point() and theirs.numel() else 1.0)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-6 * scale, equal_nan=True)
