"""The result depends on the data, not on their order, on threads, or on what was measured before."""

import os

import numpy as np
import pytest
from PIL import Image

TEXT = """wherry: 1
name: small
preprocess:
  - resize: {size: [16, 16], filter: bilinear}
  - scale: 1/255
  - normalize: {mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
model:
  inputs: {image: "float32[1, 3, 16, 16]"}
  layers:
    stem: {op: conv2d, inputs: $image, in: 3, out: 16, kernel_size: 3, padding: 1, stride: 2}
    act: {op: relu}
    dw: {op: conv2d, in: 16, out: 16, kernel_size: 3, padding: 1, groups: 16}
    pw: {op: conv2d, in: 16, out: 16, kernel_size: 1}
    sum: {op: add, inputs: [pw, act]}
    mean: {op: mean, dim: [2, 3]}
    head: {op: linear, in: 16, out: 5}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    (folder / "m.yaml").write_text(TEXT)
    (folder / "images").mkdir()
    random = np.random.default_rng(0)
    names = []
    for i in range(40):
        blocks = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        names.append(f"images/{i:02}.png")
        Image.fromarray(blocks).resize((20, 24), Image.Resampling.BILINEAR).save(folder / names[-1])
    (folder / "sorted.txt").write_text("\n".join(names) + "\n")
    (folder / "shuffled.txt").write_text("\n".join(random.permutation(names)) + "\n")
    (folder / "cache").mkdir()
    return folder


def quantized(run, folder, *options, data="sorted.txt", cache="--no-cache"):
    """The .tflite's bytes."""
    if "--precision" not in options:
        options = (*options, "--precision", "int8")
    command = ["convert", "m.yaml", "--seed", 1, "-o", "m.tflite", "--calibrate", data, *options]
    done = run(*command, *([cache] if cache else []), cwd=folder, env={"XDG_CACHE_HOME": str(folder / "cache")})
    assert done.code == 0, done.err
    return (folder / "m.tflite").read_bytes()


OPTIONS = {
    "gptq": (),
    "adaround": ("--rounding", "adaround"),
    "bias correction": ("--rounding", "nearest"),
    "not equalized": ("--no-equalize",),
    "int16x8": ("--precision", "int16x8"),
    "islands": ("--accuracy-target", "sqnr >= 34 dB"),
}


@pytest.mark.parametrize("options", OPTIONS)
def test_order_threads_and_repetition_change_nothing(run, folder, options):
    first = quantized(run, folder, "--threads", 2, *OPTIONS[options])
    assert quantized(run, folder, "--threads", 2, *OPTIONS[options]) == first
    assert quantized(run, folder, "--threads", 1, *OPTIONS[options]) == first
    assert quantized(run, folder, "--threads", 3, *OPTIONS[options], data="shuffled.txt") == first
    assert quantized(run, folder, *OPTIONS[options], data="images") == first


def cached(folder):
    return sorted((folder / "cache" / "wherry").glob("*.statistics"))


def test_what_was_measured_is_kept(run, folder):
    plain = quantized(run, folder)
    assert not cached(folder)
    assert quantized(run, folder, cache=None) == plain
    [file] = cached(folder)
    kept = file.read_bytes()
    os.utime(file, (1, 1))
    assert quantized(run, folder, cache=None) == plain
    assert cached(folder) == [file] and file.read_bytes() == kept
    assert file.stat().st_mtime > 1  # it was used

    for damage in (b"", kept[:100], kept[:-1], bytes(reversed(kept)), kept[:500] + bytes([kept[500] ^ 4]) + kept[501:]):
        file.write_bytes(damage)
        assert quantized(run, folder, cache=None) == plain
        assert file.read_bytes() == kept


def test_other_data_are_measured_anew(run, folder, tmp_path):
    before = len(cached(folder))
    quantized(run, folder, cache=None)
    known = cached(folder)
    quantized(run, folder, cache=None, data="shuffled.txt")  # its typical samples have other places
    assert len(cached(folder)) == len(known) + 1
    os.utime(folder / "images" / "00.png", (5, 5))
    quantized(run, folder, cache=None)
    (folder / "m.yaml").write_text(TEXT.replace("0.25, 0.25, 0.25", "0.25, 0.25, 0.5"))
    quantized(run, folder, cache=None)
    (folder / "m.yaml").write_text(TEXT)
    assert len(cached(folder)) == len(known) + 3 and before <= len(known)
    for i in range(30):
        (folder / "cache" / "wherry" / f"{i}.statistics").write_bytes(b"old")
        os.utime(folder / "cache" / "wherry" / f"{i}.statistics", (1, 1))
    quantized(run, folder, "--calibration-count", 20, cache=None)
    assert len(cached(folder)) == 20


def test_a_folder_that_cannot_be_written_is_no_fault(run, folder, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    done = run("convert", "m.yaml", "--seed", 1, "-o", "m.tflite", "--precision", "int8", "--calibrate", "images", cwd=folder,
               env={"XDG_CACHE_HOME": str(tmp_path / "cache")})  # fmt: skip
    assert done.code == 0, done.err
