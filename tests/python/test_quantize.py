"""Integer conversion as a user has it: what it gives in LiteRT on real data, and what it says of data that cannot serve."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

NET = """wherry: 1
name: net
preprocess:
  - resize: {size: [32, 32]}
  - scale: 1/255
  - normalize: {mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}
model:
  inputs: {image: "float32[1, 3, 32, 32]"}
  layers:
    a: {op: conv2d, in: 3, out: 16, kernel_size: 3, stride: 2, padding: 1}
    a_relu: {op: relu}
    b: {op: conv2d, in: 16, out: 16, kernel_size: 3, padding: 1, groups: 16}
    b_relu: {op: relu6}
    c: {op: conv2d, in: 16, out: 16, kernel_size: 1}
    sum: {op: add, inputs: [a_relu, c]}
    mean: {op: mean, dim: [2, 3]}
    fc: {op: linear, in: 16, out: 10}
  outputs: {logits: fc}
"""


# How the photographs were prepared for which the weights of fbnet_a.pt2 were made.
PHOTOGRAPHS = """wherry: 1
name: photographs
preprocess:
  - resize: {shorter_side: 256, filter: bicubic}
  - center_crop: {size: [224, 224], rounding: down}
  - scale: 1/255
  - normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A small classifier and 40 photograph-like arrays (smooth noise) as its preprocessing gives them."""
    folder = tmp_path_factory.mktemp("quantize")
    (folder / "net.yaml").write_text(NET)
    coarse = np.random.default_rng(1).uniform(0, 255, (40, 3, 8, 8))
    levels = np.round(coarse.repeat(4, axis=2).repeat(4, axis=3))
    np.save(folder / "data.npy", ((levels / 255 - 0.5) / 0.25).astype(np.float32))
    return folder


def convert(run, net, out, *options):
    return run("convert", net / "net.yaml", "--seed", 0, "-o", out, "--calibrate", net / "data.npy", "--json", *options)


def test_int8_in_litert(run, net, tmp_path):
    result = convert(run, net, tmp_path / "net.tflite", "--precision", "int8")
    assert result.code == 0, result.err
    report = result.json
    assert report["verified"] and report["sqnr_db"] > 20 and report["cosine"] > 0.99
    assert report["ops"]["QUANTIZE"] == report["ops"]["DEQUANTIZE"] == 1
    assert not [finding for finding in report["audit"]["findings"] if finding["severity"] == "error"]
    assert report["inputs"][0]["type"].startswith("float32")


@pytest.mark.parametrize("rounding", ["nearest", "gptq", "adaround"])
@pytest.mark.parametrize("ranges", ["min-max", "mse", "percentile", "kl"])
def test_every_rounding_and_range(run, net, tmp_path, rounding, ranges):
    result = convert(run, net, tmp_path / "net.tflite", "--precision", "int8", "--rounding", rounding, "--ranges", ranges)
    assert result.code == 0 and result.json["sqnr_db"] > 12, result.err


def test_int16_is_finer_than_int8(run, net, tmp_path):
    eight = convert(run, net, tmp_path / "8.tflite", "--precision", "int8").json
    sixteen = convert(run, net, tmp_path / "16.tflite", "--precision", "int16x8").json
    assert sixteen["sqnr_db"] > eight["sqnr_db"] + 3


def test_integer_borders(run, net, tmp_path):
    result = convert(run, net, tmp_path / "net.tflite", "--precision", "int8", "--integer-borders")
    assert result.code == 0, result.err
    assert result.json["inputs"][0]["type"] == "int8[1, 32, 32, 3]" and "QUANTIZE" not in result.json["ops"]


def test_correction_and_equalization_do_not_harm(run, net, tmp_path):
    plain = convert(run, net, tmp_path / "a.tflite", "--precision", "int8", "--rounding", "nearest", "--no-bias-correction").json
    corrected = convert(run, net, tmp_path / "b.tflite", "--precision", "int8", "--rounding", "nearest").json
    equalized = convert(run, net, tmp_path / "c.tflite", "--precision", "int8").json
    plain_channels = convert(run, net, tmp_path / "d.tflite", "--precision", "int8", "--no-equalize", "--no-centre").json
    assert corrected["sqnr_db"] > plain["sqnr_db"] - 0.5
    assert equalized["sqnr_db"] > plain["sqnr_db"]
    assert equalized["sqnr_db"] > plain_channels["sqnr_db"] - 0.5


def test_an_accuracy_is_reached_with_islands(run, net, tmp_path):
    result = convert(run, net, tmp_path / "net.tflite", "--precision", "int8", "--accuracy-target", "sqnr >= 52 dB")
    assert result.code == 0, result.err
    target = result.json["target"]
    chosen = target["tried"][target["chosen"]]
    assert target["reached"] and chosen["sqnr_db"] >= 52 and 0 < chosen["outside_int8"] <= 1
    nothing = target["tried"][0]
    assert nothing["outside_int8"] == 0 and nothing["sqnr_db"] < 52


def test_a_target_of_top1_needs_labels(run, net, tmp_path):
    result = convert(run, net, tmp_path / "net.tflite", "--precision", "int8", "--accuracy-target", "top1 drop <= 1%")
    assert result.code == 1 and "E808" in result.err
    np.savez(tmp_path / "data.npz", image=np.load(net / "data.npy"), labels=np.arange(40) % 10)
    line = ["--precision", "int8", "--accuracy-target", "top1 drop <= 1%", "--calibrate", tmp_path / "data.npz", "--json"]
    result = run("convert", net / "net.yaml", "--seed", 0, "-o", tmp_path / "net.tflite", *line)
    assert result.code == 0 and result.json["target"]["reached"], result.err


@pytest.mark.parametrize("text", ["agreement > 99", "top5 >= 3", "sqnr >= 30 %", ""])
def test_a_target_that_is_not_understood(run, net, tmp_path, text):
    result = convert(run, net, tmp_path / "net.tflite", "--precision", "int8", "--accuracy-target", text)
    assert result.code in (1, 2) and "E901" in result.err and "agreement >= 99.5%" in result.err


def test_no_data(run, net, tmp_path):
    result = run("convert", net / "net.yaml", "--seed", 0, "-o", tmp_path / "net.tflite", "--precision", "int8")
    assert result.code == 1 and "E801" in result.err and "--calibrate DATA" in result.err
    assert not (tmp_path / "net.tflite").exists()


def test_too_little_data_is_said(run, net, tmp_path):
    np.save(tmp_path / "few.npy", np.load(net / "data.npy")[:3])
    result = run(
        "convert", net / "net.yaml", "--seed", 0, "-o", tmp_path / "net.tflite", "--precision", "int8", "--calibrate", tmp_path / "few.npy"
    )
    assert result.code == 0 and "E801" in result.err and "3 sample(s)" in result.err


def test_data_scaled_otherwise_are_refused(run, net, tmp_path):
    """What cost the report its accuracy: 0 to 1 where the text's normalisation gives -2 to 2."""
    np.save(tmp_path / "raw.npy", np.load(net / "data.npy") * 0.25 + 0.5)
    result = run(
        "convert", net / "net.yaml", "--seed", 0, "-o", tmp_path / "net.tflite", "--precision", "int8", "--calibrate", tmp_path / "raw.npy"
    )
    assert result.code == 1 and "E807" in result.err
    assert not (tmp_path / "net.tflite").exists()


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros((20, 3, 16, 16), np.float32), "E806"),
        (np.zeros((20, 3, 32, 32), np.complex64), "E107"),
        (np.full((20, 3, 32, 32), np.nan, np.float32), "E80"),
    ],
    ids=["size", "dtype", "NaN"],
)
def test_data_that_do_not_fit(run, net, tmp_path, array, code):
    np.save(tmp_path / "data.npy", array)
    result = run(
        "convert", net / "net.yaml", "--seed", 0, "-o", tmp_path / "net.tflite", "--precision", "int8", "--calibrate", tmp_path / "data.npy"
    )
    assert result.code == 1 and code in result.err, result.err
    assert not (tmp_path / "net.tflite").exists()


def test_infinite_activations_name_the_layer(run, net, tmp_path):
    text = NET.replace(
        "    b: {op: conv2d", "    big: {op: mul, inputs: [a_relu, 1e38]}\n    bigger: {op: mul, inputs: [big, 1e38]}\n    b: {op: conv2d"
    )
    (tmp_path / "net.yaml").write_text(text)
    result = run(
        "convert", tmp_path / "net.yaml", "--seed", 0, "-o", tmp_path / "o.tflite", "--precision", "int8", "--calibrate", net / "data.npy"
    )
    assert result.code == 1 and "E804" in result.err and "at   big" in result.err
    assert not (tmp_path / "o.tflite").exists()


def test_operators_without_an_integer_kernel_are_all_listed(run, net, tmp_path):
    text = NET.replace("    mean: {op: mean", "    sine: {op: sin}\n    cosine: {op: cos}\n    mean: {op: mean")
    (tmp_path / "net.yaml").write_text(text)
    line = [
        "convert",
        tmp_path / "net.yaml",
        "--seed",
        0,
        "-o",
        tmp_path / "o.tflite",
        "--precision",
        "int8",
        "--calibrate",
        net / "data.npy",
    ]
    result = run(*line)
    assert result.code == 1 and result.err.count("E803") == 2 and "SIN" in result.err and "COS" in result.err
    assert not (tmp_path / "o.tflite").exists()
    allowed = run(*line, "--allow-float", "--json")
    assert allowed.code == 0 and allowed.json["ops"]["SIN"] == 1 and allowed.json["ops"]["DEQUANTIZE"] >= 2


def test_fbnet_a_on_photographs(run, data, tmp_path):
    """The real network: quarter of the size, and the same answers as float32."""
    text = tmp_path / "photos.yaml"
    text.write_text(PHOTOGRAPHS + NET[NET.index("model:") :])
    images = sorted((data / "images").iterdir())
    (tmp_path / "calibrate.txt").write_text("\n".join(map(str, images[::5])))
    (tmp_path / "score.txt").write_text("\n".join(map(str, images[2::10])))
    common = [data / "fbnet_a.pt2", "--preprocess", text]
    assert run("convert", *common, "-o", tmp_path / "f.tflite").code == 0
    result = run(
        "convert", *common, "-o", tmp_path / "i.tflite", "--precision", "int8", "--calibrate", tmp_path / "calibrate.txt", "--json"
    )
    assert result.code == 0, result.err
    line = ["evaluate", tmp_path / "f.tflite", tmp_path / "i.tflite", "--data", tmp_path / "score.txt", "--preprocess", text, "--json"]
    entry = json.loads(run(*line).out)["models"][1]
    assert entry["agreement_top1"] >= 0.96 and entry["sqnr_db"] > 12
    assert (tmp_path / "i.tflite").stat().st_size < 0.3 * (tmp_path / "f.tflite").stat().st_size


def test_an_answer_lost_in_noise_is_fitted(run, tmp_path):
    """One answer of eight is 8, the others -1; pairs of large inputs that cancel in float do not in eight bits."""
    text = (
        'wherry: 1\nname: m\nmodel:\n  inputs: {x: "float32[1, 24]"}\n  layers:\n    fc: {op: linear, in: 24, out: 8}\n  outputs: {y: fc}\n'
    )
    (tmp_path / "m.yaml").write_text(text)
    random = np.random.default_rng(0)
    data = random.normal(0, 1, (200, 24)).astype(np.float32)
    data[:, :8] = np.eye(8, dtype=np.float32)[np.arange(200) % 8]
    data[:, 16:] = 0.98 * data[:, 8:16]
    np.save(tmp_path / "data.npy", data)
    weight = np.zeros((8, 24), np.float32)
    weight[:, :8] = 9 * np.eye(8)
    weight[:, 8:16] = 49 * random.choice([-1, 1], (8, 8))
    weight[:, 16:] = -weight[:, 8:16] / 0.98
    save_file({"fc.weight": weight, "fc.bias": np.full(8, -1, np.float32)}, tmp_path / "m.safetensors")
    line = ["convert", tmp_path / "m.yaml", "--weights", tmp_path / "m.safetensors", "--precision", "int8", "--rounding", "nearest"]
    line += ["--calibrate", tmp_path / "data.npy", "--json"]
    fitted, left = run(*line, "-o", tmp_path / "a.tflite"), run(*line, "-o", tmp_path / "b.tflite", "--no-answer-fit")
    assert fitted.code == left.code == 0, fitted.err + left.err
    assert "warning E812" in fitted.err and "at   fc" in fitted.err and "E812" not in left.err
    assert fitted.json["sqnr_db"] > left.json["sqnr_db"] + 0.5
