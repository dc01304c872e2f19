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
    join: {op: concat, inputs: [pool, gate_pool], dim: 1}
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
    done = run("convert", "m.yaml", *SEED, "-o", out, "--precision", "int8", "--calibrate", "data.npy", *options, cwd=folder)
    assert done.code == 0, done.err
    return folder / out


def convert(run, text, out, *options):
    done = run("convert", text, "-o", out, *options)
    assert done.code == 0, done.err
    return out


def without_source_hash(file):
    return re.sub(rb"xxh3:[0-9a-f]{16}", b"xxh3", file.read_bytes())


@pytest.mark.parametrize(
    "options",
    [(), ("--precision", "int16x8"), ("--integer-borders",), ("--equalize", "0.5"), ("--io", "nchw"), ("--rounding", "nearest"),
     ("--accuracy-target", "sqnr >= 45 dB"), ("--accuracy-target", "sqnr >= 45 dB", "--islands", "int16")],
    ids=["int8", "int16x8", "integer-borders", "equalized", "nchw", "nearest", "islands", "int16-islands"],
)  # fmt: skip
def test_text_and_data_give_the_same_file(run, made, tmp_path, options):
    for name in ("m.yaml", "data.npy"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    (tmp_path / "text").mkdir()
    direct = quantize(run, tmp_path, "direct.tflite", *options)
    text = quantize(run, tmp_path, "text/m.yaml", *options)
    assert {f.name for f in text.parent.iterdir()} == {"m.yaml", "m.safetensors", "m.codes.safetensors"}
    again = convert(run, text, tmp_path / "again.tflite")
    assert without_source_hash(again) == without_source_hash(direct)
    same = convert(run, text, tmp_path / "m.yaml")
    assert same.read_bytes() == text.read_bytes()
    assert (tmp_path / "m.codes.safetensors").read_bytes() == (tmp_path / "text/m.codes.safetensors").read_bytes()
    json_text = convert(run, text, tmp_path / "text/m.json")
    assert without_source_hash(convert(run, json_text, tmp_path / "j.tflite"))[-2000:] == without_source_hash(direct)[-2000:]


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
