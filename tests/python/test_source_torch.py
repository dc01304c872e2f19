"""PyTorch source: of every model, checked as code, run, and carried back through torch.export to the text it came from."""

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
wherry = pytest.importorskip("wherry")
MODELS = sorted((pathlib.Path(__file__).resolve().parents[2] / "models").glob("*.yaml"))
names = pytest.mark.parametrize("text", MODELS, ids=lambda path: path.stem)


def lint(*files):
    """What ruff says of the files as they are, in its own width."""
    ruff = shutil.which("ruff", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("ruff")
    command = [ruff] if ruff else [sys.executable, "-m", "ruff"]
    if subprocess.run([*command, "--version"], capture_output=True, check=False).returncode != 0:
        pytest.skip("ruff is not installed")
    select = ["check", "--isolated", "--select", "E,F,I,UP,B"]
    for arguments in (select, ["format", "--isolated", "--check"]):
        done = subprocess.run([*command, *arguments, *map(str, files)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def image(model, batch=1):
    shape = [int(size) for size in model.inputs[0][1].split("[")[1].rstrip("]").split(", ")]
    return np.random.default_rng(2).standard_normal([batch, *shape[1:]], dtype=np.float32)


def close(found, expected, limit=1e-5):
    assert np.abs(found - expected).max() <= limit * np.abs(expected).max()


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_code_passes_linters(framework, tmp_path):
    files = []
    for text in MODELS:
        files.append(tmp_path / f"{text.stem}.py")
        wherry.convert(text, out=files[-1], to=framework, seed=1, verify=False)
    lint(*files)


@names
def test_text_to_torch_and_back_is_the_identity(text, tmp_path):
    """The same layers, paths, hyperparameters and weights, bit for bit; and from then on the same text, byte for byte."""
    source = wherry.load(text, seed=3)
    module = source.to_torch()
    assert sorted(source.weights()) == sorted(key for key in module.state_dict() if not key.endswith("num_batches_tracked"))
    example = (torch.from_numpy(image(source)),)
    back = wherry.from_torch(module, example, name=source.name)
    assert source.difference(back) == ""
    first = back.convert(tmp_path / f"{source.name}.yaml", verify=False).output
    again = wherry.from_torch(wherry.load(first).to_torch(), example, name=source.name)
    assert again.text() == wherry.load(first).text().replace(f"weights: {first.with_suffix('.safetensors').name}\n", "")


@pytest.mark.parametrize("name", ["fbnet_a", "fbnet_b"])
def test_archive_to_torch_and_back_is_the_identity(name, data):
    source = wherry.load(data / f"{name}.pt2")
    back = wherry.from_torch(source.to_torch(), (torch.from_numpy(image(source)),), name=name)
    assert source.difference(back) == "" and source.text() == back.text()


@names
def test_blocks_keep_their_names(text):
    """Every block that the text uses more than once is a block again, in the same places."""
    source = wherry.load(text, seed=3)
    back = wherry.from_torch(source.to_torch(), (torch.from_numpy(image(source)),), name=source.name)
    uses = {block: text.read_text().count(f"block: {block},") for block in ("ConvBNRelu", "IRFBlock", "MBConvLite", "InvertedResidual")}
    for block, count in uses.items():
        if count > 1:
            assert back.text().count(f"block: {block},") >= count, block


@pytest.mark.parametrize("name", ["fbnet_c", "efficientnet_lite0", "mobilenet_v2", "resnet18"])
def test_module_computes_what_the_text_says(name):
    source = wherry.load(MODELS[0].with_name(f"{name}.yaml"), seed=5)
    x = image(source)
    with torch.no_grad():
        close(source.to_torch()(torch.from_numpy(x)).numpy(), source.run([x])[0])


FORKED = """
wherry: 1
name: forked
blocks:
  Scale:
    params: {channels: int, factor: 2.0}
    layers:
      scaled: {op: mul, inputs: [$input, $factor]}
      gain: {op: mul, inputs: [scaled, {weight: .gain.gamma, type: "float32[4, 1, 1]"}]}
  Fork:
    doc: Two branches of one input.
    params: {channels: int, mid: $channels * 2, depth: 2, shortcut: true}
    layers:
      wide.0: {op: conv2d, in: $channels, out: $mid, kernel_size: 3, padding: [1, 1, 2, 0]}
      wide.1: {op: batch_norm, features: $mid, bias: false}
      stack: {op: conv2d, repeat: $depth, in: $mid, out: $mid, kernel_size: 1, groups: $index + 1}
      slim: {op: conv2d, inputs: $input, in: $channels, out: $mid, kernel_size: 1, bias: false}
      total: {op: add, inputs: [stack, slim], when: $shortcut}
      class: {op: relu}
      half: {op: slice, inputs: slim, dim: 1, end: $channels}
    outputs: {wide: class, slim: half}
  Join:
    inputs: [a, b]
    layers:
      sum: {op: add, inputs: [$a, $b]}
model:
  inputs: {x: "float32[2, 4, 8, 8]", y: "float32[2, 4, 8, 8]"}
  layers:
    fork.one: {block: Fork, channels: 4}
    fork.two: {block: Fork, inputs: $y, channels: 4, mid: 8, depth: 1, shortcut: false}
    join: {block: Join, inputs: ["fork.one:wide", "fork.two:wide"]}
    rest: {block: Join, inputs: ["fork.one:slim", "fork.two:slim"]}
    scaled: {block: Scale, repeat: 2, channels: 4, factor: 0.5}
    parts: {op: chunk, inputs: join, chunks: 2, dim: 1}
    first: {op: cat, inputs: ["parts:1", "parts:0", scaled.0], dim: 1}
    a: {op: conv2d, in: 12, out: 12, kernel_size: 1}
    b: {op: conv2d, weights: a, in: 12, out: 12, kernel_size: 1}
    c: {op: conv2d, weights: {weight: a.weight}, in: 12, out: 12, kernel_size: 1}
    2: {op: clamp, min: -1}
    mean: {op: mean, dim: [2, 3]}
    shift: {op: add, inputs: [mean, {constant: [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]}]}
  outputs: {logits: shift, rest: rest}
"""

# Parameters that no layer owns: functional.conv2d(x, self.kernel).
FREE = """    d: {op: conv2d, weights: {weight: kernel, bias: free.offset}, in: 12, out: 12, kernel_size: 1}
    e: {op: conv2d, weights: {weight: free.deep.kernel}, in: 12, out: 12, kernel_size: 1, bias: false}
    2: """
WITH_FREE = FORKED.replace("    2: ", FREE).replace("slim: {op: conv2d,", "slim: {op: conv2d, weights: {weight: .slender},")


@pytest.fixture
def forked(tmp_path):
    text = tmp_path / "forked.yaml"
    text.write_text(WITH_FREE)
    return wherry.load(text, seed=7)


def test_all_that_a_text_may_say(forked, tmp_path):
    inputs = [np.random.default_rng(i).standard_normal((2, 4, 8, 8), dtype=np.float32) for i in range(2)]
    expected = forked.run(inputs)
    module = forked.to_torch()
    assert set(forked.weights()) == {key for key in module.state_dict() if not key.endswith("num_batches_tracked")}
    with torch.no_grad():
        found = module(*map(torch.from_numpy, inputs))
    assert list(found) == ["logits", "rest"]
    for ours, theirs in zip(expected, found.values(), strict=True):
        close(theirs.numpy(), ours)
    code = tmp_path / "code.py"
    code.write_text(forked.source("torch")[0])
    lint(code)


def test_checkpoints_load(forked):
    """A state dict as PyTorch saves it, with the counters that a text's weights lack."""
    trained = forked.to_torch().state_dict()
    module = wherry.load(forked.file, seed=1).to_torch()
    module.load_state_dict(trained)
    for key, value in module.state_dict().items():
        assert torch.equal(value, trained[key]), key


def test_code_runs_where_wherry_is_not(tmp_path):
    """The file alone, with the weights beside it."""
    text = MODELS[0].with_name("mobilenet_v2.yaml")
    wherry.convert(text, out=tmp_path / "net.py", to="torch", seed=1, verify=False)
    script = "import net; print(sum(p.numel() for p in net.load_weights(net.MobilenetV2()).parameters()))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 3_504_872


def test_verify_runs_the_code(run, tmp_path):
    text = MODELS[0].with_name("mobilenet_v2.yaml")
    made = run("convert", text, "--seed", 1, "--to", "torch", "-o", tmp_path / "m.py", "--json")
    assert made.code == 0 and made.json["verified"], made.err
    good = run("verify", text, tmp_path / "m.py", "--weights", tmp_path / "m.safetensors", "--layers", "--json")
    assert good.code == 0 and good.json["match"] and len(good.json["layers"]) > 100, good.err
    broken = tmp_path / "m.py"
    broken.write_text(broken.read_text().replace("nn.ReLU6()", "nn.Tanh()"))
    bad = run("verify", text, broken, "--weights", tmp_path / "m.safetensors", "--layers", "--tolerance", "1e-6", "--json")
    assert bad.code == 3 and bad.json["first_mismatch"] == "features.0.2"


def test_framework_must_be_named(run, tmp_path):
    text = MODELS[0].with_name("mobilenet_v2.yaml")
    for arguments, said in (((), "needs the framework"), (("--to", "caffe"), "'caffe' is no framework")):
        failed = run("convert", text, "--seed", 1, *arguments, "-o", tmp_path / "m.py")
        assert failed.code == 1 and said in failed.err and "--to torch" in failed.err
        assert not (tmp_path / "m.py").exists()
