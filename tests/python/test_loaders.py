"""Weights on their way: out of live modules and trees, back into the model, into files; and what is said where they do not fit."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
wherry = pytest.importorskip("wherry")

SMALL = """
wherry: 1
name: small
model:
  inputs: {x: "float32[1, 3, 8, 8]"}
  layers:
    conv: {op: conv2d, in: 3, out: 4, kernel_size: 3}
    bn: {op: batch_norm, features: 4}
    relu: {op: relu}
    flat: {op: flatten, start_dim: 1}
    fc: {op: linear, in: 144, out: 5}
"""
X = np.random.default_rng(0).standard_normal((1, 3, 8, 8), dtype=np.float32)


@pytest.fixture
def small(tmp_path):
    text = tmp_path / "small.yaml"
    text.write_text(SMALL)
    return wherry.load(text, seed=1)


def test_torch_weights_go_back(small, tmp_path):
    torch = pytest.importorskip("torch")
    module = small.to_torch()
    with torch.no_grad():
        module.fc.bias += 1
        expected = module(torch.from_numpy(X)).numpy()
    before = small.run([X])[0]
    assert small.update(module) is small
    found = small.run([X])[0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found - before, 1, atol=1e-5)
    small.convert(tmp_path / "trained.yaml")
    np.testing.assert_array_equal(wherry.load(tmp_path / "trained.yaml").run([X])[0], found)
    small.convert(tmp_path / "trained.tflite")


def test_jax_weights_go_back(small):
    pytest.importorskip("jax")
    apply, params = small.to_jax()
    params["fc"]["bias"] = params["fc"]["bias"] + 1
    small.update(params)
    np.testing.assert_allclose(small.run([X])[0], np.asarray(apply(params, X)), atol=1e-6)


def test_saved_weights_serve_the_text(small, tmp_path):
    torch = pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    module = small.to_torch()
    file = wherry.save_weights(module, tmp_path / "saved.safetensors")
    found = load_file(file)
    assert sorted(found) == sorted(small.weights())
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in found.items())
    np.testing.assert_array_equal(wherry.load(small.file, weights=file).run([X])[0], small.run([X])[0])


def test_maps_of_arrays_are_weights_too(small, tmp_path):
    arrays = {key: value * 2 for key, value in small.weights().items()}
    small.update(arrays)
    np.testing.assert_array_equal(small.weights()["fc.bias"], arrays["fc.bias"])


def test_weights_that_do_not_fit_are_all_named(small):
    weights = dict(small.weights())
    before = small.weights()["conv.weight"].copy()
    del weights["fc.bias"]
    weights["conv.weight"] = np.zeros((4, 3, 5, 5), np.float32)
    weights["other.weight"] = np.zeros(3, np.float32)
    with pytest.raises(wherry.WherryError) as raised:
        small.update(weights)
    said = str(raised.value)
    assert "fc.bias" in said and "conv.weight" in said
    np.testing.assert_array_equal(small.weights()["conv.weight"], before)  # nothing has changed


@pytest.mark.parametrize("wrong", [3, {"a": "word"}])
def test_what_holds_no_weights_is_refused(small, wrong):
    with pytest.raises(wherry.WherryError, match="weight"):
        small.update(wrong)


def test_from_torch_takes_a_live_module(tmp_path):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()
    model = wherry.from_torch(module, (torch.from_numpy(X),), name="live")
    with torch.no_grad():
        np.testing.assert_allclose(model.run([X])[0], module(torch.from_numpy(X)).numpy(), atol=1e-5)
    model.convert(tmp_path / "live.yaml")
    assert sorted(wherry.load(tmp_path / "live.yaml").to_torch().state_dict()) == sorted(module.state_dict())


def test_from_torch_wants_eval_mode():
    torch = pytest.importorskip("torch")
    with pytest.raises(wherry.WherryError, match="eval"):
        wherry.from_torch(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))


@pytest.mark.parametrize(
    ("method", "package", "extra"),
    [
        ("to_torch", "torch", "torch"),
        ("to_torch", "safetensors", "torch"),
        ("to_jax", "jax", "jax"),
        ("to_keras", "keras", "keras"),
        ("to_keras", "tensorflow", "keras"),
    ],
)
def test_a_missing_framework_is_named(small, method, package, extra):
    script = (
        f"import sys; sys.modules[{package!r}] = None; import wherry\n"
        f"try: wherry.load({str(small.file)!r}, seed=1).{method}()\n"
        "except wherry.WherryError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert f"pip install 'wherry[{extra}]'" in done.stdout


def test_examples_of_the_documentation_run(tmp_path, monkeypatch):
    """Each block of Python in docs/frameworks.md, one after the other in one folder."""
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    pytest.importorskip("keras")
    root = pathlib.Path(__file__).resolve().parents[2]
    page = (root / "docs/frameworks.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").symlink_to(root / "models")
    names = {}
    blocks = [part.split("```")[0] for part in page.split("```python run\n")[1:]]
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, "docs/frameworks.md", "exec"), names)
