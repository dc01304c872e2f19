"""Every operator example: the reference evaluator against PyTorch and JAX, in the source code that Wherry writes for them."""

import os

import numpy as np
import pytest
from examples import array, dump_tool, examples, outputs_of

os.environ.setdefault("JAX_PLATFORMS", "cpu")


def run(entry, framework):
    """The example's outputs by its source code."""
    names = {}
    exec(compile(entry[framework]["text"], f"{entry['op']}_{framework}.py", "exec"), names)
    return (run_torch if framework == "torch" else run_jax)(entry, names, names[entry[framework]["entry"]])


def run_torch(entry, names, make):
    import torch

    model = make().eval()
    model.load_state_dict({key: torch.from_numpy(array(spec)) for key, spec in entry["weights"].items()})
    with torch.no_grad():
        found = model(*(torch.from_numpy(array(spec)) for spec in entry["inputs"]))
    return [y.numpy() for y in outputs_of(found)]


def run_jax(entry, names, make):
    import jax

    model = make()
    params = model.init(jax.random.key(0))
    leaves = names["named"](params)
    assert {key: leaf.shape for key, leaf in leaves.items()} == {key: tuple(spec["shape"]) for key, spec in entry["weights"].items()}
    params = jax.tree_util.tree_structure(params).unflatten([array(entry["weights"][key]) for key in leaves])
    return [np.asarray(y) for y in outputs_of(model.apply(params, *(array(spec) for spec in entry["inputs"])))]


def test_examples_are_there():
    if dump_tool() is None:
        pytest.skip("dump_examples is not built: make build")
    assert len(examples()[1]) > 150


@pytest.mark.parametrize("framework", ["torch", "jax"])
@pytest.mark.parametrize("entry", examples()[1], ids=lambda entry: entry["example"])
def test_reference_equals_framework(entry, framework):
    pytest.importorskip(framework)
    found, expected = run(entry, framework), [array(spec) for spec in entry["outputs"]]
    assert len(found) == len(expected)
    for theirs, ours in zip(found, expected, strict=True):
        if framework == "torch" or ours.dtype not in (np.int64, np.float64):  # JAX computes these in 32 bits
            assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        floats = ours.dtype.kind == "f"
        scale = max(1.0, float(np.abs(theirs).max())) if floats and theirs.size else 1.0
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * scale if floats else 0, equal_nan=True)
