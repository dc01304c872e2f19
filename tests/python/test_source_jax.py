"""JAX source: run, jitted and differentiated, against the text."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("safetensors")
wherry = pytest.importorskip("wherry")
from test_source_torch import WITH_FREE, close, image, lint  # noqa: E402

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"


@pytest.mark.parametrize("name", ["fbnet_c", "efficientnet_lite0", "mobilenet_v2", "resnet18"])
def test_function_computes_what_the_text_says(name):
    source = wherry.load(MODELS / f"{name}.yaml", seed=5)
    apply, params = source.to_jax()
    x = image(source)
    close(np.asarray(jax.jit(apply)(params, x)), source.run([x])[0])


def test_all_that_a_text_may_say(tmp_path):
    text = tmp_path / "forked.yaml"
    text.write_text(WITH_FREE)
    model = wherry.load(text, seed=7)
    inputs = [np.random.default_rng(i).standard_normal((2, 4, 8, 8), dtype=np.float32) for i in range(2)]
    apply, params = model.to_jax()
    for ours, theirs in zip(model.run(inputs), jax.jit(apply)(params, *inputs).values(), strict=True):
        close(np.asarray(theirs), ours)
    code = tmp_path / "code.py"
    code.write_text(model.source("jax")[0])
    lint(code)


@pytest.mark.parametrize("name", ["mobilenet_v2", "forked"])
def test_nnx_modules_compute_the_same(name, tmp_path):
    nnx = pytest.importorskip("flax.nnx")
    text = MODELS / f"{name}.yaml"
    if name == "forked":
        text = tmp_path / "forked.yaml"
        text.write_text(WITH_FREE)
    model = wherry.load(text, seed=5)
    code = wherry.convert(text, out=tmp_path / "code.py", to="nnx", seed=5, verify=False).output
    lint(code)
    names = {}
    exec(compile(code.read_text(), "code.py", "exec"), names)
    module = names["load_weights"](names[names["__all__"][0]](rngs=nnx.Rngs(0)), code.with_suffix(".safetensors"))
    keys = {".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(module))}
    assert keys == set(model.weights())
    shapes = [[int(size) for size in kind.split("[")[1].rstrip("]").split(", ")] for _, kind in model.inputs]
    inputs = [np.random.default_rng(i).standard_normal(shape, dtype=np.float32) for i, shape in enumerate(shapes)]
    found = nnx.jit(lambda module, *inputs: module(*inputs))(module, *inputs)
    for ours, theirs in zip(model.run(inputs), found.values() if isinstance(found, dict) else [found], strict=True):
        close(np.asarray(theirs), ours)


def test_parameters_are_keyed_as_the_weights():
    model = wherry.load(MODELS / "resnet18.yaml", seed=5)
    _, params = model.to_jax()
    keys = {".".join(entry.key for entry in path) for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]}
    assert keys == set(model.weights())
    assert params["layer1.0"]["conv1"]["weight"].shape == (64, 64, 3, 3)


def test_statistics_have_no_gradient():
    model = wherry.load(MODELS / "mobilenet_v2.yaml", seed=5)
    apply, params = model.to_jax()
    x = image(model)
    gradients = jax.grad(lambda p: apply(p, x).sum())(params)
    block = gradients["features.0"]
    assert np.abs(block["0"]["weight"]).max() > 0 and np.abs(block["1"]["weight"]).max() > 0
    assert np.abs(block["1"]["running_mean"]).max() == 0 and np.abs(block["1"]["running_var"]).max() == 0


def test_init_makes_other_weights_of_the_same_shapes(tmp_path):
    names = {}
    model = wherry.load(MODELS / "mobilenet_v2.yaml", seed=5)
    code, entry = model.source("jax")
    exec(compile(code, "code.py", "exec"), names)
    params = names[entry]().init(jax.random.key(4))
    expected = model.to_jax()[1]
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected)
    assert not np.allclose(params["features.0"]["0"]["weight"], expected["features.0"]["0"]["weight"])


def test_verify_runs_the_code(run, tmp_path):
    text = MODELS / "mobilenet_v2.yaml"
    made = run("convert", text, "--seed", 1, "--to", "jax", "-o", tmp_path / "m.py", "--json")
    assert made.code == 0 and made.json["verified"], made.err
    good = run("verify", text, tmp_path / "m.py", "--weights", tmp_path / "m.safetensors", "--json")
    assert good.code == 0 and good.json["match"], good.err
