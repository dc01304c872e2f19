"""Models as .keras archives and as live Keras models: what they compute, what they hold, what happens where something is missing."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = sorted((ROOT / "models").glob("*.yaml"))
PYTHON = {"WHERRY_PYTHON": sys.executable}
needs_keras = pytest.mark.skipif(find_spec("keras") is None, reason="needs Keras")

SMALL = """
wherry: 1
name: small
blocks:
  Unit:
    params: {in: int, out: int, stride: 1}
    layers:
      conv: {op: conv2d, in: $in, out: $out, kernel_size: 3, stride: $stride, padding: 1, bias: false}
      bn: {op: batch_norm, features: $out}
      relu: {op: relu}
model:
  inputs: {image: "float32[1, 3, 16, 16]"}
  layers:
    stem: {block: Unit, in: 3, out: 8, stride: 2}
    dw: {op: conv2d, in: 8, out: 16, kernel_size: 3, padding: 1, groups: 8}
    body: {block: Unit, in: 16, out: 16}
    pool: {op: adaptive_avg_pool2d, output_size: [1, 1]}
    flat: {op: flatten, start_dim: 1}
    drop: {op: dropout, p: 0.2}
    head: {op: linear, in: 16, out: 5}
  outputs: {logits: head}
"""


@pytest.fixture
def small(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return file


def run_in_keras(code, *arguments, backend="tensorflow"):
    """A process of its own: Keras takes one backend a process."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@needs_keras
def test_models_agree_with_their_texts(run, tmp_path):
    """Every text of models/ on one backend, taking turns, within 3e-5 of the scale on its own inputs."""
    backends = [name for name in ("tensorflow", "jax", "torch") if find_spec(name)]
    for index, model in enumerate(MODELS):
        out = tmp_path / f"{model.stem}.keras"
        assert run("convert", model, "--seed", 3, "-o", out, "--no-verify").code == 0
        backend = backends[index % len(backends)]
        done = run("verify", model, out, "--seed", 3, "--backend", backend, "--tolerance", "3e-5", "--layers", "--json", env=PYTHON)
        assert done.code == 0, (model.stem, backend, done.out[:300], done.err)
        assert len(done.json["layers"]) > 20


def test_the_same_text_gives_the_same_bytes(run, small, tmp_path):
    for name in ("a.keras", "b.keras"):
        assert run("convert", small, "--seed", 1, "-o", tmp_path / name, "--no-verify").code == 0
    assert (tmp_path / "a.keras").read_bytes() == (tmp_path / "b.keras").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.keras", "b.keras", "small.yaml"]


def test_layers_are_built_in_and_named_by_paths(run, small, tmp_path):
    out = tmp_path / "small.keras"
    report = run("convert", small, "--seed", 1, "-o", out, "--no-verify", "--json").json
    assert report["ops"]["Conv2D"] == 2 and report["ops"]["DepthwiseConv2D"] == 1 and report["ops"]["Dropout"] == 1
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        layers = json.loads(archive.read("config.json"))["config"]["layers"]
    assert {layer["module"].split(".src")[0] for layer in layers} <= {"keras.layers", "keras"}
    assert {"stem-conv", "stem-bn", "stem-relu", "dw", "head"} <= {layer["name"] for layer in layers}


@needs_keras
def test_without_keras_the_file_is_written_and_the_lack_is_said(run, small, tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys._base_executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    done = run("convert", small, "--seed", 1, "-o", tmp_path / "small.keras", env={"WHERRY_PYTHON": str(bare)})
    assert done.code == 0 and (tmp_path / "small.keras").exists()
    assert "pip install 'wherry[keras]'" in done.err and "E706" in done.err


def test_all_that_keras_cannot_say_is_listed_and_nothing_written(run, tmp_path):
    up = "{op: conv_transpose2d, in: 16, out: 16, kernel_size: 3, stride: 2, dilation: 2}"
    text = SMALL.replace("pool: {op", f"up: {up}\n    up2: {up}\n    pool: {{op")
    (tmp_path / "m.yaml").write_text(text)
    done = run("convert", tmp_path / "m.yaml", "--seed", 1, "-o", tmp_path / "m.keras", "--no-verify")
    assert done.code == 1 and done.err.count("E202") == 2 and "up2" in done.err
    assert not (tmp_path / "m.keras").exists()


TRAIN = """
import json, sys
import keras, numpy as np
file, out = sys.argv[1:]
keras.utils.set_random_seed(0)
model = keras.saving.load_model(file)
generator = np.random.default_rng(0)
x = generator.standard_normal((128, 16, 16, 3)).astype("float32")
y = (x.mean((1, 2)).argmax(1)).astype("int32")
model.compile(keras.optimizers.Adam(3e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
before = model.evaluate(x, y, verbose=0)
model.fit(x, y, epochs=1, batch_size=16, verbose=0, shuffle=False)
after = model.evaluate(x, y, verbose=0)
model.save(out)
import wherry
source = wherry.load(file.split(".")[0] + ".yaml", seed=1)
from wherry._keras import arrays_by_key
keys = arrays_by_key(model)
shapes = {key: list(array.shape) for key, array in keys.items()}
wanted = {key: list(array.shape) for key, array in source.weights().items()}
np.savez(out + ".npz", x=x[:1], y=keras.ops.convert_to_numpy(model(x[:1], training=False)), **{"w:" + k: v for k, v in keys.items()})
print(json.dumps({"before": float(before), "after": float(after), "same_keys": shapes == wanted, "shapes": shapes, "wanted": wanted}))
"""


@needs_keras
@pytest.mark.parametrize("options", [(), ("--nested",)], ids=["flat", "nested"])
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_an_epoch_lowers_the_loss_and_the_weights_come_back(run, small, tmp_path, backend, options):
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    wherry = pytest.importorskip("wherry")
    file, out = tmp_path / "small.keras", tmp_path / "trained.keras"
    assert run("convert", small, "--seed", 1, "-o", file, "--no-verify", *options).code == 0
    found = run_in_keras(TRAIN, file, out, backend=backend)
    assert found["after"] < found["before"], found
    assert found["same_keys"], (found["shapes"], found["wanted"])
    arrays = np.load(f"{out}.npz")
    weights = {name[2:]: arrays[name] for name in arrays.files if name.startswith("w:")}
    model = wherry.load(small, seed=1).update(weights)
    (ours,) = model.run([np.ascontiguousarray(arrays["x"].transpose(0, 3, 1, 2))])
    np.testing.assert_allclose(ours, arrays["y"], atol=3e-5 * max(1, np.abs(arrays["y"]).max()))


@needs_keras
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_blocks_are_models_within_the_model(run, tmp_path, backend):
    """What the text computes, read back with the same keys; layers' names differ in all of it, as Keras on PyTorch needs them to."""
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    wherry = pytest.importorskip("wherry")
    text, out = ROOT / "models/fbnet_a.yaml", tmp_path / "nested.keras"
    done = run("convert", text, "--seed", 3, "-o", out, "--nested", "--json", env={**PYTHON, "KERAS_BACKEND": backend})
    assert done.code == 0 and done.json["verified"] and done.json["relative_error"] < 3e-5, done.err
    assert done.json["ops"]["Functional"] == 73
    with zipfile.ZipFile(out) as archive:
        config = json.loads(archive.read("config.json"))["config"]
    assert {"backbone-stages-xif0_0", "head-conv"} <= {layer["config"]["name"] for layer in config["layers"]}
    names = list(layers_within(config))
    assert len(names) == len(set(names)) > 150
    assert run("convert", out, "-o", tmp_path / "back.yaml").code == 0
    assert wherry.load(tmp_path / "back.yaml").weights().keys() == wherry.load(text, seed=3).weights().keys()


def layers_within(config):
    for layer in config["layers"]:
        yield layer["config"]["name"]
        if "layers" in layer["config"]:
            yield from layers_within(layer["config"])


def test_a_fixed_batch_within_a_block_is_fixed_around_it(run, tmp_path):
    """One block reshapes with a batch of 2: no input is left open."""
    text = SMALL.replace("relu: {op: relu}", "relu: {op: relu}\n      same: {op: reshape, shape: [2, $out, -1, 8]}")
    (tmp_path / "m.yaml").write_text(text.replace("[1, 3, 16, 16]", "[2, 3, 16, 16]"))
    done = run("convert", tmp_path / "m.yaml", "--seed", 1, "-o", tmp_path / "m.keras", "--nested", "--json", env=PYTHON)
    assert done.code == 0, done.err
    if find_spec("keras"):
        assert done.json["verified"] and done.json["relative_error"] < 3e-5


@needs_keras
def test_compare_runs_every_target_that_is_there(run, small):
    found = run("compare", small, "--seed", 1, "--targets", "tflite,keras:tensorflow", "--json", env=PYTHON).json
    rows = {row["target"]: row for row in found["targets"]}
    assert found["match"] and rows["tflite"]["relative_error"] < 3e-5
    if find_spec("tensorflow"):
        assert rows["keras:tensorflow"]["relative_error"] < 3e-5 and rows["keras:tensorflow"]["agreement_top1"] == 1


@needs_keras
def test_compare_fits_a_terminal_and_names_what_installs_the_missing(run, small, without):
    """Whatever is missing: no row is wider than 80 columns, and each that was not run has its command."""
    done = run("compare", small, "--seed", 1, env=without("torch", "jax", "onnxruntime"))
    assert done.code == 0 and max(map(len, done.out.splitlines())) <= 80, done.out
    told = " ".join(done.out.split())
    for extra, times in (("torch", 2), ("jax", 2), ("onnx", 1)):
        assert told.count(f"pip install 'wherry[{extra}]'") == times, done.out
    rows = {row["target"]: row for row in run("compare", small, "--seed", 1, "--json", env=without("keras")).json["targets"]}
    assert [name for name, row in rows.items() if "not_run" in row] == [name for name in rows if name.startswith("keras:")]
    assert all("pip install 'wherry[keras]'" in row["next"] for row in rows.values() if "not_run" in row)


def test_compare_says_what_it_does_not_run(run, small):
    done = run("compare", small, "--seed", 1, "--targets", "keras:jax", env={"WHERRY_PYTHON": "/nowhere/python"})
    assert done.code == 0 and "not run: E706" in done.out
    assert run("compare", small, "--seed", 1, "--targets", "keras:mxnet").code == 1
