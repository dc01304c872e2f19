"""The text's quantization section: what it says is what is converted, and it can be edited."""

import re

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

MODEL = """wherry: 1
name: small
model:
  inputs: {image: "float32[1, 3, 16, 16]"}
  layers:
    stem: {op: conv2d, inputs: $image, in: 3, out: 8, kernel_size: 3, padding: 1, stride: 2}
    act: {op: relu}
    dw: {op: conv2d, in: 8, out: 8, kernel_size: 3, padding: 1, groups: 8}
    sum: {op: add, inputs: [dw, act]}
    pool: {op: max_pool2d, kernel_size: 2}
    gate: {op: sigmoid, inputs: act}
    gate_pool: {op: max_pool2d, kernel_size: 2}
    join: {op: cat, inputs: [pool, gate_pool], dim: 1}
    mean: {op: mean, dim: [2, 3]}
    head: {op: linear, in: 16, out: 5}
  outputs: {scores: head}
"""
SEED = ("--seed", 3)


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("text")
    (folder / "m.yaml").write_text(MODEL)
    np.save(folder / "data.npy", np.random.default_rng(0).normal(size=(24, 3, 16, 16)).astype(np.float32))
    return folder


def quantize(run, folder, out, *options):
    """m.yaml with integers decided by data.npy, as the file `out`."""
    if "--precision" not in options:
        options = (*options, "--precision", "int8")
    done = run("convert", "m.yaml", *SEED, "-o", out, "--calibrate", "data.npy", *options, cwd=folder)
    assert done.code == 0, done.err
    return folder / out


def convert(run, text, out, *options):
    done = run("convert", text, "-o", out, *options)
    assert done.code == 0, done.err
    return out


def without_source(file):
    """The bytes but for the name and the hash of the text that it was made of."""
    return re.sub(rb'xxh3:[0-9a-f]{16}|"m.(yaml|json)"', b"", file.read_bytes())


@pytest.mark.parametrize(
    "options",
    [(), ("--precision", "int16x8"), ("--integer-borders",), ("--no-equalize",), ("--io", "nchw"), ("--rounding", "nearest"),
     ("--accuracy-target", "sqnr >= 52 dB"), ("--accuracy-target", "sqnr >= 52 dB", "--islands", "int16")],
    ids=["int8", "int16x8", "integer-borders", "not-equalized", "nchw", "nearest", "islands", "int16-islands"],
)  # fmt: skip
def test_text_and_data_give_the_same_file(run, made, tmp_path, options):
    for name in ("m.yaml", "data.npy"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    (tmp_path / "text").mkdir()
    direct = quantize(run, tmp_path, "direct.tflite", *options)
    text = quantize(run, tmp_path, "text/m.yaml", *options)
    assert {f.name for f in text.parent.iterdir()} == {"m.yaml", "m.safetensors", "m.codes.safetensors"}
    again = convert(run, text, tmp_path / "again.tflite")
    assert without_source(again) == without_source(direct)
    same = convert(run, text, tmp_path / "m.yaml")
    assert same.read_bytes() == text.read_bytes()
    assert (tmp_path / "m.codes.safetensors").read_bytes() == (tmp_path / "text/m.codes.safetensors").read_bytes()
    json_text = convert(run, text, tmp_path / "text/m.json")
    assert without_source(convert(run, json_text, tmp_path / "j.tflite")) == without_source(direct)


@pytest.fixture(scope="module")
def text(run, made):
    return quantize(run, made, "m.int8.yaml")


@pytest.fixture
def edit(text, tmp_path):
    """The text with a piece replaced, beside its files."""

    def with_change(old, new, count=1):
        for name in ("m.int8.safetensors", "m.int8.codes.safetensors"):
            (tmp_path / name).write_bytes((text.parent / name).read_bytes())
        found = re.findall(old, text.read_text(), re.MULTILINE)
        assert len(found) >= count, f"{old} is not in {text.read_text()}"
        (tmp_path / "e.yaml").write_text(re.sub(old, new, text.read_text(), count=count, flags=re.MULTILINE))
        return tmp_path / "e.yaml"

    return with_change


def operators(run, text, out):
    done = run("convert", text, "-o", out, "--json")
    assert done.code == 0, done.err
    return done.json["ops"]


def test_the_section_reads_as_documented(text):
    section = yaml.safe_load(text.read_text())["quantization"]
    assert section["precision"] == "int8" and section["codes"] == "m.int8.codes.safetensors" and section["borders"] == "float"
    assert section["by"] == {"ranges": "mse", "rounding": "gptq", "samples": 24, "corrected_on": 24}
    codes = load_file(text.parent / section["codes"])
    assert section["layers"] == {name: {"granularity": "channel", "by": "gptq"} for name in ("act", "dw", "head")} or section["layers"]
    for name in section["layers"]:
        assert codes[f"{name}.codes"].dtype == np.int8
        assert codes[f"{name}.scales"].dtype == np.float32 and codes[f"{name}.bias"].dtype == np.float64
    for row in section["activations"].values():
        assert row["scale"] > 0 and -128 <= row["zero_point"] <= 127 and row["by"]
    joined = [row for row in section["activations"].values() if row["by"] == "kernel"]
    assert joined and all(row["scale"] == 1 / 256 and row["zero_point"] == -128 for row in joined)
    groups = [row["group"] for row in section["activations"].values() if "group" in row]
    assert all(groups.count(group) > 1 for group in groups)


def test_a_scale_can_be_edited(run, edit, text, tmp_path):
    changed = edit(r"^(    act: \{scale: )([0-9.e-]+)", r"\g<1>0.25")
    before, after = convert(run, text, tmp_path / "before.tflite"), convert(run, changed, tmp_path / "after.tflite")
    assert np.float32(0.25).tobytes() in after.read_bytes()
    assert np.float32(0.25).tobytes() not in before.read_bytes()


def test_a_layer_can_be_float(run, edit, text, tmp_path):
    before = operators(run, text, tmp_path / "before.tflite")
    after = operators(run, edit(r"^    dw: +\{granularity", "    dw: {precision: float32, granularity"), tmp_path / "after.tflite")
    assert after["DEQUANTIZE"] == before["DEQUANTIZE"] + 1 and after["QUANTIZE"] == before["QUANTIZE"] + 1


FAULTS = {  # what is replaced, by what, the message, what stands in its line
    "unknown activation": (
        r"^    act: \{scale",
        "    acts: {scale",
        "the model has no activation 'acts'; did you mean 'act'?",
        "acts: {",
    ),
    "unknown key": (
        r"zero_point: (-?\d+)",
        r"zero_piont: \1",
        "has no key 'zero_piont'; did you mean 'zero_point'?",
        "zero_piont",
    ),
    "unknown layer": (
        r"^    head: +\{gran",
        "    heat: {gran",
        "the model has no layer 'heat'; did you mean 'head'?",
        "heat",
    ),
    "negative scale": (
        r"^(    act: \{scale: )[0-9.e-]+",
        r"\g<1>-0.5",
        "the scale of activation 'act' is -0.5; it must be a number",
        "-0.5",
    ),
    "no number": (
        r"^(    act: \{scale: )[0-9.e-]+",
        r"\g<1>wide",
        "the scale of activation 'act' is 'wide'",
        "wide",
    ),
    "zero point": (
        r"^(    act: \{scale: [0-9.e-]+, zero_point: )-?\d+",
        r"\g<1>-129",
        "is -129; it must be a whole number from -128",
        "-129",
    ),
    "precision": (
        "^  precision: int8",
        "  precision: int7",
        "precision is 'int7'; it must be int8 or int16x8",
        "int7",
    ),
    "missing": (
        r"^    act: \{scale.*\n",
        "",
        "activations lack 'act' in int8, which CONV_2D",
        "activations:",
    ),
    "kernel's": (
        r"(gate: \{scale: )0.00390625(.*\n    gate_pool: \{scale: )0.00390625",
        r"\g<1>0.004\g<2>0.004",
        "the kernel of LOGISTIC gives",
        "scale: 0.004",
    ),
    "granularity": (
        "granularity: channel",
        "granularity: tensor",
        "have one scale for each channel",
        "tensor",
    ),
    "place": (
        r"^(  requantized: \{\w+: \[)\d+",
        r"\g<1>9",
        "has no input 9 that shares its output's grid",
        "9",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_with_their_place(run, edit, tmp_path, fault):
    old, new, message, token = FAULTS[fault]
    changed = edit(old, new)
    done = run("convert", changed.name, "-o", "e.tflite", cwd=tmp_path)
    assert done.code == 1 and "error E811" in done.err, done.err
    assert message in done.err, done.err
    place = re.search(r"--> e.yaml:(\d+):(\d+)\n", done.err)
    assert place, done.err
    assert token in changed.read_text().splitlines()[int(place[1]) - 1]
    assert not (tmp_path / "e.tflite").exists()


def test_a_group_shares_one_grid(run, edit, text, tmp_path):
    section = yaml.safe_load(text.read_text())["quantization"]
    name = next(name for name, row in section["activations"].items() if "group" in row and row["by"] != "kernel")
    changed = edit(rf"^(    {re.escape(name)}: \{{scale: )[0-9.e-]+", r"\g<1>0.75")
    done = run("convert", changed.name, "-o", "e.tflite", cwd=tmp_path)
    assert done.code == 1 and "must have one grid: found scale" in done.err and "E811" in done.err, done.err


def test_faults_of_the_codes(run, edit, tmp_path):
    changed = edit(r"^wherry", "wherry")
    file = tmp_path / "m.int8.codes.safetensors"
    codes = load_file(file)
    name = next(key for key in codes if key.endswith(".codes"))
    del codes[name.replace(".codes", ".scales")]
    other = [key for key in codes if key.endswith(".codes") and key != name][0]
    codes[other] = codes[other].reshape(-1)
    bias = [key for key in codes if key.endswith(".bias")][-1]
    codes[bias] = np.full_like(codes[bias], np.nan)
    save_file(codes, file)
    done = run("convert", changed.name, "-o", "e.tflite", cwd=tmp_path)
    assert done.code == 1 and done.err.count("error E811") >= 2, done.err
    assert f"lacks '{name.replace('.codes', '.scales')}'" in done.err and f"'{other}' in the file of codes is int8[" in done.err
    file.unlink()
    done = run("convert", changed.name, "-o", "e.tflite", cwd=tmp_path)
    assert done.code == 1 and "E101" in done.err and "codes.safetensors" in done.err


def test_float_and_other_precisions_are_still_to_be_had(run, text, tmp_path):
    assert "QUANTIZE" not in operators_with(run, text, tmp_path / "f.tflite", "float32")
    done = run("convert", text, "-o", tmp_path / "x.tflite", "--precision", "int16x8")
    assert done.code == 1 and "E801" in done.err
    done = run("convert", text, "-o", tmp_path / "x.yaml", "--precision", "float16")
    assert done.code == 1 and "E901" in done.err and not (tmp_path / "x.yaml").exists()


def operators_with(run, text, out, precision):
    done = run("convert", text, "-o", out, "--precision", precision, "--json")
    assert done.code == 0, done.err
    return done.json["ops"]
