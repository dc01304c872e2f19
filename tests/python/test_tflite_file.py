"""A converted file as other programs see it: LiteRT's Python interpreter, its schema reader, Python's zipfile."""

import json
import os
import pathlib
import subprocess
import zipfile

import numpy as np
import pytest

interpreter = pytest.importorskip("ai_edge_litert.interpreter")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
ROOT = pathlib.Path(__file__).resolve().parents[2]
LABELS = ["cat", "dog", "wherry", "crème brûlée"]
MODEL = f"""
wherry: 1
name: tiny
preprocess:
  - resize: [8, 6]
  - scale: 1/255
  - normalize: {{mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.125]}}
labels: {json.dumps(LABELS, ensure_ascii=False)}
model:
  inputs: {{image: "float32[1, 3, 8, 6]"}}
  layers:
    conv: {{op: conv2d, in: 3, out: 8, kernel_size: 3, stride: 2, padding: 1}}
    relu: {{op: relu}}
    pool: {{op: adaptive_avg_pool2d, output_size: [1, 1]}}
    flat: {{op: flatten, start_dim: 1}}
    head: {{op: linear, in: 8, out: 4}}
  outputs: {{logits: head}}
"""


def command():
    named = os.environ.get("WHERRY_BUILD")
    found = [pathlib.Path(named) / "src/wherry"] if named else list((ROOT / "build").glob("*/src/wherry"))
    found = [path for path in found if path.exists()]
    if not found:
        pytest.skip("the wherry command is not built")
    return max(found, key=lambda path: path.stat().st_mtime)


def convert(folder, name, *options):
    source, out = folder / "tiny.yaml", folder / name
    source.write_text(MODEL)
    library = pathlib.Path(interpreter.__file__).parent
    done = subprocess.run(
        [command(), "convert", source, "-o", out, "--seed", "0", *options],
        capture_output=True,
        text=True,
        env={**os.environ, "WHERRY_LITERT": str(library)},
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return convert(tmp_path_factory.mktemp("tflite"), "tiny.tflite")


def run(path, image):
    runner = interpreter.Interpreter(str(path)).get_signature_runner("serving_default")
    return runner(image=image)["logits"]


def test_interpreter_runs_the_signature(written):
    loaded = interpreter.Interpreter(str(written))
    assert loaded.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
    assert list(loaded.get_input_details()[0]["shape"]) == [1, 8, 6, 3]
    images = np.random.default_rng(0).standard_normal((2, 1, 8, 6, 3), dtype=np.float32)
    first, second = (run(written, image) for image in images)
    assert first.shape == (1, 4) and np.isfinite(first).all() and not np.allclose(first, second)


def test_half_weights_give_nearly_the_same(written, tmp_path):
    half = convert(tmp_path, "half.tflite", "--precision", "float16")
    image = np.random.default_rng(1).standard_normal((1, 8, 6, 3), dtype=np.float32)
    whole, rounded = run(written, image), run(half, image)
    assert 0 < np.abs(whole - rounded).max() < 2e-3 * np.abs(whole).max()


def test_same_bytes_every_time(written, tmp_path):
    assert convert(tmp_path, "again.tflite").read_bytes() == written.read_bytes()


def test_schema_reader_accepts_every_table(written):
    model = schema.ModelT.InitFromPackedBuf(written.read_bytes(), 0)
    assert model.version == 3
    assert [entry.name.decode() for entry in model.metadata] == [
        "min_runtime_version",
        "TFLITE_METADATA",
        "WHERRY_PROVENANCE",
    ]
    provenance = bytes(model.buffers[model.metadata[2].buffer].data)
    assert json.loads(provenance)
    constants = [tensor for tensor in model.subgraphs[0].tensors if tensor.buffer]
    assert constants and all(len(model.buffers[tensor.buffer].data) > 0 for tensor in constants)


def test_buffers_are_aligned(written):
    data = written.read_bytes()
    model = schema.Model.GetRootAs(data, 0)
    for index in range(1, model.BuffersLength()):
        table = model.Buffers(index)._tab
        assert table.Vector(table.Offset(4)) % 16 == 0


def test_labels_travel_in_a_zip(written):
    with zipfile.ZipFile(written) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode().splitlines() == LABELS
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_normalisation_is_in_the_metadata(written):
    model = schema.ModelT.InitFromPackedBuf(written.read_bytes(), 0)
    stored = bytes(model.buffers[model.metadata[1].buffer].data)
    assert stored[4:8] == b"M001"
    for numbers in ([127.5, 102.0, 76.5], [63.75, 51.0, 31.875]):
        assert np.array(numbers, np.float32).tobytes() in stored
