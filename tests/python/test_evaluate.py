"""`wherry evaluate` against a loop of Pillow, NumPy and LiteRT's interpreter over generated images; and what it refuses."""

import json

import numpy as np
import pytest
from PIL import Image

Interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter

NET = """
wherry: 1
name: tiny
preprocess:
  - resize: {shorter_side: 20, filter: bicubic}
  - center_crop: [16, 16]
  - scale: 1/255
  - normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
model:
  inputs: {image: "float32[1, 3, 16, 16]"}
  layers:
    conv: {op: conv2d, in: 3, out: 8, kernel_size: 3, stride: 2}
    relu: {op: relu}
    flat: {op: flatten, start_dim: 1}
    head: {op: linear, in: 392, out: 8}
  outputs: {scores: head}
"""
COUNT = 60


def pixels(file):
    image = Image.open(file).convert("RGB")
    short, long = sorted(image.size)
    longer = int(20 * long / short)
    image = image.resize((20, longer) if image.width <= image.height else (longer, 20), Image.Resampling.BICUBIC)
    left, top = round((image.width - 16) / 2), round((image.height - 16) / 2)
    array = np.asarray(image.crop((left, top, left + 16, top + 16)), np.float32) / 255
    return (array - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])


def scores(file, arrays):
    interpreter = Interpreter(str(file))
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for array in arrays:
        if taken["dtype"] != np.float32:
            scale, zero = taken["quantization"]
            array = np.clip(np.round(array / scale) + zero, -128, 127).astype(taken["dtype"])
        interpreter.set_tensor(taken["index"], array[None])
        interpreter.invoke()
        row = interpreter.get_tensor(given["index"])[0]
        if given["dtype"] != np.float32:
            scale, zero = given["quantization"]
            row = (row.astype(np.float32) - zero) * scale
        rows.append(row)
    return np.stack(rows)


@pytest.fixture(scope="module")
def world(run, tmp_path_factory):
    """Text, float and int8 file, images of odd sizes in folders named by class: what the float file says, a tenth of it wrong."""
    folder = tmp_path_factory.mktemp("evaluate")
    text, real, integer = folder / "tiny.yaml", folder / "tiny.tflite", folder / "tiny.int8.tflite"
    text.write_text(NET)
    assert run("convert", text, "-o", real, "--seed", 3).code == 0
    generator, flat = np.random.default_rng(0), folder / "flat"
    flat.mkdir()
    for i in range(COUNT):
        small = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        size = [(31, 24), (24, 31), (40, 22), (33, 33)][i % 4]
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(flat / f"{i:03}.{('png', 'jpg', 'webp')[i % 3]}", quality=92)
    files = sorted(flat.iterdir())
    arrays = np.stack([pixels(file) for file in files])
    top = scores(real, arrays).argmax(1)
    truth = [int(c + 1) % 8 if i % 10 == 0 else int(c) for i, c in enumerate(top)]
    (folder / "labels.csv").write_text("file,label\n" + "".join(f"{file.name},{label}\n" for file, label in zip(files, truth, strict=True)))
    done = run("convert", text, "-o", integer, "--seed", 3, "--precision", "int8", "--calibrate", flat)
    assert done.code == 0, done.err
    return {"folder": folder, "text": text, "real": real, "integer": integer, "flat": flat, "arrays": arrays, "truth": np.array(truth)}


def test_scores_are_those_of_the_interpreter(run, world):
    done = run("evaluate", world["real"], world["integer"], "--data", world["flat"], "--labels", world["folder"] / "labels.csv", "--json")
    assert done.code == 0, done.err
    real, integer = done.json["models"]
    a, b = scores(world["real"], world["arrays"]), scores(world["integer"], world["arrays"])
    five = np.argsort(-b, axis=1, kind="stable")[:, :5]
    assert real["top1"] == pytest.approx(np.mean(a.argmax(1) == world["truth"]))
    assert integer["precision"] == "int8" and real["precision"] == "float32"
    assert integer["agreement_top1"] == pytest.approx(np.mean(a.argmax(1) == b.argmax(1)))
    assert integer["agreement_top5"] == pytest.approx(np.mean([x in row for x, row in zip(a.argmax(1), five, strict=True)]))
    assert integer["sqnr_db"] == pytest.approx(10 * np.log10((a**2).sum() / ((a - b) ** 2).sum()), abs=0.05)
    assert integer["l2"] == pytest.approx(np.linalg.norm(a - b, axis=1).mean(), rel=0.01)
    assert len(integer["flipped"]) == int((a.argmax(1) != b.argmax(1)).sum())
    low, high = real["top1_interval"]
    assert low < real["top1"] < high


def test_the_text_and_its_file_agree_and_layers_are_compared(run, world):
    page = world["folder"] / "page.html"
    models = [world["text"], world["real"], world["integer"]]
    done = run("evaluate", *models, "--seed", 3, "--data", world["flat"], "--layers", "--report", page, "--json")
    assert done.code == 0, done.err
    text, real, integer = done.json["models"]
    assert text["is_reference"] and real["agreement_top1"] == 1 and (real["sqnr_db"] is None or real["sqnr_db"] > 90)
    names = [layer["name"] for layer in integer["layers"]]
    assert "head" in names and all(layer["sqnr_db"] > 10 for layer in integer["layers"])
    html = page.read_text()
    assert "<h1>Evaluation: tiny.yaml</h1>" in html and "SQNR by layer" in html and "<script" not in html


def test_threads_change_nothing(run, world):
    found = []
    for threads in (1, 3):
        done = run("evaluate", world["real"], world["integer"], "--data", world["flat"], "--threads", threads, "--json")
        found.append([{k: v for k, v in model.items() if k not in ("images_per_second", "latency_ms")} for model in done.json["models"]])
    assert found[0] == found[1]


def test_labels_in_another_order_are_found(run, world):
    rows = "".join(f"{label + 1}\n" for label in world["truth"])
    (world["folder"] / "from_one.txt").write_text(rows)
    done = run("evaluate", world["real"], "--data", world["flat"], "--labels", world["folder"] / "from_one.txt", "--json")
    assert done.code == 1 and "outside 0 to 7" in done.err  # one label is 8
    shifted = "".join(f"{(label + 1) % 8}\n" for label in world["truth"])
    (world["folder"] / "shifted.txt").write_text(shifted)
    done = run("evaluate", world["real"], "--data", world["flat"], "--labels", world["folder"] / "shifted.txt", "--json")
    assert done.code == 0 and "count from 1" in done.json["label_order"]["order"]
    assert done.json["label_order"]["top1"] == pytest.approx(0.9) and "different orders" in done.err


def test_arrays_that_were_not_normalised_are_refused(run, world):
    raw, right = world["folder"] / "raw.npy", world["folder"] / "right.npy"
    images = [Image.open(file).convert("RGB").resize((16, 16)) for file in sorted(world["flat"].iterdir())]
    np.save(raw, np.stack([np.asarray(image, np.float32).transpose(2, 0, 1) for image in images]))
    np.save(right, world["arrays"].transpose(0, 3, 1, 2))
    done = run("evaluate", world["real"], "--data", raw)
    assert done.code == 1 and "E807" in done.err and "nothing was scaled or normalised" in done.err
    assert run("evaluate", world["real"], "--data", right).code == 0


@pytest.mark.parametrize(
    ("name", "array", "code", "words"),
    [
        ("size.npy", np.zeros((4, 3, 17, 16), np.float32), "E806", "float32[4, 3, 17, 16]"),
        ("type.npy", np.zeros((4, 3, 16, 16), np.int64), "E806", "takes real numbers"),
        ("none.npy", np.zeros((0, 3, 16, 16), np.float32), "E801", "holds no samples"),
        ("text.npy", np.array(["a", "b"]), "E107", "no model takes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(run, world, name, array, code, words):
    np.save(world["folder"] / name, array)
    done = run("evaluate", world["real"], "--data", world["folder"] / name)
    assert done.code == 1 and code in done.err and words in done.err


def test_every_broken_image_is_named(run, world, tmp_path):
    for file in list(world["flat"].iterdir())[:6]:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "cut.jpg").write_bytes(next(world["flat"].glob("*.jpg")).read_bytes()[:-200])
    (tmp_path / "page.png").write_text("<html>")
    done = run("evaluate", world["real"], "--data", tmp_path, "--json")
    assert done.code == 1 and "cut.jpg" in done.err and "page.png" in done.err
    assert {error["code"] for error in json.loads(done.out)["errors"]} == {"E802"}


def test_missing_records_folders_and_references_are_said(run, world, tmp_path):
    bare = tmp_path / "bare.yaml"
    bare.write_text("\n".join(line for line in NET.splitlines() if not line.startswith(("preprocess", "  - "))))
    assert run("convert", bare, "-o", tmp_path / "bare.tflite", "--seed", 3).code == 0
    done = run("evaluate", tmp_path / "bare.tflite", "--data", world["flat"])
    assert done.code == 1 and "E809" in done.err and "--preprocess TEXT.yaml" in done.err
    assert run("evaluate", tmp_path / "bare.tflite", "--data", world["flat"], "--preprocess", world["text"]).code == 0
    (tmp_path / "nothing").mkdir()
    done = run("evaluate", world["real"], "--data", tmp_path / "nothing")
    assert done.code == 1 and "E801" in done.err
    assert run("evaluate", world["real"]).code == 2
    assert "E901" in run("evaluate", world["real"], "--data", world["flat"], "--layers").err
