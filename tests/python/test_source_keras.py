"""Keras source: of every model and of all that a text may say, checked as code and run on each backend against the text."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from networks import MODELS, image, lively
from test_source_torch import FORKED, lint

wherry = pytest.importorskip("wherry")
pytestmark = pytest.mark.skipif(find_spec("keras") is None or find_spec("safetensors") is None, reason="needs Keras and safetensors")
QUICK = ("fbnet_a", "efficientnet_lite0", "mobilenet_v2", "resnet18", "forked", "mixed")  # for backends that compile each operation
HERE = Path(__file__).resolve().parent
PYTHON = {"WHERRY_PYTHON": sys.executable}
PARTLY_SHARED = "    c: {op: conv2d, weights: {weight: a.weight}, in: 12, out: 12, kernel_size: 1}\n"

# Uses that differ in what no argument says (the sizes of images), numbers of repetitions, weights that no layer owns, names that
# begin with '_' or hold '-'.
MIXED = """
wherry: 1
name: mixed
use: [vision]
blocks:
  Mlp:
    params: {dim: int, hidden: $dim * 4, act: true, gain: 0.5}
    layers:
      norm: {op: layer_norm, normalized_shape: [$dim]}
      fc1: {op: linear, in: $dim, out: $hidden}
      act: {op: gelu, when: $act}
      fc2: {op: linear, in: $hidden, out: $dim, bias: false}
      scaled: {op: mul, inputs: [fc2, $gain]}
      sum: {op: add, inputs: [scaled, $input]}
  Up:
    params: {channels: int, sizes: [8, 8], again: 0}
    layers:
      grow: {op: interpolate, size: $sizes}
      mix: {op: conv2d, in: $channels, out: $channels, kernel_size: 3, padding: 1, groups: $channels}
      norm: {op: group_norm, num_groups: 2, channels: $channels}
      more: {block: ConvBNRelu6, repeat: $again, when: $again > 0, in: $channels, out: $channels}
      gate: {block: SqueezeExcite, inputs: more, channels: $channels, squeezed: 2}
      scale: {op: mul, inputs: [gate, {weight: .gamma, type: "float32[8, 1, 1]"}]}
model:
  inputs: {x: "float32[1, 3, 16, 16]"}
  layers:
    _stem: {op: conv2d, in: 3, out: 8, kernel_size: 3, stride: 2, padding: 1}
    act-1: {op: prelu, num_parameters: 8}
    pool: {op: avg_pool2d, kernel_size: 2}
    up.0: {block: Up, channels: 8}
    up.1: {block: Up, channels: 8, sizes: [12, 12], again: 2}
    body: {block: InvertedResidual, repeat: 3, in: 8, out: 8}
    output: {op: conv_transpose2d, in: 8, out: 8, kernel_size: 3, padding: 1, groups: 2}
    tokens: {op: flatten, start_dim: 2}
    turned: {op: transpose, dim0: 1, dim1: 2}
    pos: {op: add, inputs: [turned, {weight: pos_embed, type: "float32[1, 144, 8]"}]}
    mlp: {block: Mlp, repeat: 2, dim: 8}
    last: {block: Mlp, dim: 8, hidden: 16, act: false, gain: 2.0}
    mean: {op: mean, dim: 1}
    head: {op: linear, in: 8, out: 5}
"""
TEXTS = {"forked": FORKED.replace(PARTLY_SHARED, ""), "mixed": MIXED}


def write(model, name, inputs, folder):
    """The code, its weights, and what it should compute."""
    model.convert(folder / f"{name}.py", to="keras", verify=False)
    arrays = {f"x{i}": np.moveaxis(x, 1, -1) if x.ndim == 4 else x for i, x in enumerate(inputs)}
    for i, y in enumerate(model.run(inputs)):
        arrays[f"y{i}"] = np.moveaxis(y, 1, -1) if y.ndim == 4 else y
    np.savez(folder / f"{name}.npz", **arrays)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("keras_source")
    for text in MODELS:
        model = lively(wherry.load(text, seed=1))
        write(model, text.stem, [image(model)], made)
    for name, text in TEXTS.items():
        (made / f"{name}.yaml").write_text(text)
        model = lively(wherry.load(made / f"{name}.yaml", seed=1))
        shapes = [[int(size) for size in kind[8:-1].split(", ")] for _, kind in model.inputs]
        write(model, name, [np.random.default_rng(i).standard_normal(shape, np.float32) for i, shape in enumerate(shapes)], made)
    return made


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_code_computes_what_the_text_says(folder, backend):
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    names = () if backend == "tensorflow" else QUICK
    command = [sys.executable, HERE / "keras_source.py", folder, backend, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    faults = json.loads(done.stdout.splitlines()[-1])
    assert not faults, "\n".join(f"{name}: {fault}" for name, fault in faults.items())


def test_code_passes_linters(folder):
    lint(*sorted(folder.glob("*.py")))


def test_a_block_is_one_class_where_arguments_tell_its_uses_apart(folder):
    """And several where sizes do, of which no argument tells."""
    for text in MODELS:
        code = (folder / f"{text.stem}.py").read_text()
        blocks = set(wherry.load(text, seed=1).text().split("block: ")[1:])
        used = {block.split(",")[0].split("}")[0] for block in blocks}
        for block in used:
            assert code.count(f"\nclass {block}(") == 1 and f"class {block}_2(" not in code, (text.stem, block)
    mixed = (folder / "mixed.py").read_text()
    assert "class Up(" in mixed and "class Up_2(" in mixed and "class Mlp_2(" not in mixed


def test_padding_that_keras_does_not_mean_by_same(folder):
    resnet, lite = (folder / "resnet18.py").read_text(), (folder / "efficientnet_lite0.py").read_text()
    assert 'self.conv1_pad = layers.ZeroPadding2D(1, name="conv1-pad")' in resnet
    assert 'padding="same" if stride == 1 else "valid"' in resnet
    assert "layers.ZeroPadding2D(\n            ((0, 1), (0, 1))" in lite


def test_what_has_no_form_is_listed_before_anything_is_written(run, tmp_path):
    """Weights that are another layer's in part, and an operator that Keras lacks: each with its layer."""
    up = "{op: conv_transpose2d, in: 12, out: 12, kernel_size: 3, stride: 2, dilation: 2}"
    (tmp_path / "m.yaml").write_text(FORKED.replace("    2: {op: clamp", f"    up: {up}\n    up2: {up}\n    2: {{op: clamp"))
    done = run("convert", tmp_path / "m.yaml", "--seed", 1, "--to", "keras", "-o", tmp_path / "m.py", "--no-verify")
    assert done.code == 1 and done.err.count("E202") == 2 and "up2" in done.err, done.err
    (tmp_path / "m.yaml").write_text(FORKED)
    done = run("convert", tmp_path / "m.yaml", "--seed", 1, "--to", "keras", "-o", tmp_path / "m.py", "--no-verify")
    assert done.code == 1 and done.err.count("E202") == 1 and "Keras shares whole layers only" in done.err, done.err
    assert not (tmp_path / "m.py").exists()


def test_verify_runs_the_code_layer_by_layer(run, tmp_path):
    text = MODELS[0].with_name("resnet18.yaml")
    made = run("convert", text, "--seed", 1, "--to", "keras", "-o", tmp_path / "m.py", "--json", env=PYTHON)
    assert made.code == 0 and made.json["verified"] and made.json["relative_error"] < 3e-5, made.err
    assert made.json["runtime"].startswith("Keras")
    weights = ("--weights", tmp_path / "m.safetensors")
    good = run("verify", text, tmp_path / "m.py", *weights, "--layers", "--json", env=PYTHON)
    assert good.code == 0 and len(good.json["layers"]) > 50, good.err
    broken = tmp_path / "m.py"
    broken.write_text(broken.read_text().replace('layers.ReLU(name="relu1")', 'layers.Activation("tanh", name="relu1")'))
    bad = run("verify", text, broken, *weights, "--layers", "--tolerance", "1e-3", "--json", env=PYTHON)
    assert bad.code == 3 and bad.json["first_mismatch"] == "layer1.0.relu1"


def test_an_open_batch_is_run_with_one_image(run, tmp_path):
    (tmp_path / "m.yaml").write_text(MIXED.replace("float32[1, 3, 16", "float32[batch, 3, 16"))
    made = run("convert", tmp_path / "m.yaml", "--seed", 1, "--to", "keras", "-o", tmp_path / "m.py", "--json", env=PYTHON)
    assert made.code == 0 and made.json["verified"] and made.json["relative_error"] < 3e-5, made.err


def test_code_runs_where_wherry_is_not(folder, tmp_path):
    """With keras and safetensors alone, the file and the weights beside it; a copy that Keras saves loads again."""
    script = (
        "import sys; sys.modules['wherry'] = None; import keras, numpy as np, resnet18 as net; m = net.load_weights(net.Resnet18());"
        "x = np.ones((1, 224, 224, 3), 'float32'); m.save(sys.argv[1]);"
        "n = keras.saving.load_model(sys.argv[1], custom_objects={'Resnet18': net.Resnet18, 'BasicBlock': net.BasicBlock});"
        "assert np.array_equal(keras.ops.convert_to_numpy(m(x)), keras.ops.convert_to_numpy(n(x))); print(m.count_params())"
    )
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", script, tmp_path / "copy.keras"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) == 11_699_112
