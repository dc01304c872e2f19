"""Bad input gives a code and a next step, exit 1 and no file. One case for each fault that users meet."""

import io
import json
import os
import pickle
import struct
import zipfile

import pytest

SMALL = """\
wherry: 1
name: small
model:
  inputs: {image: "float32[1, 3, 16, 16]"}
  layers:
    conv: {op: conv2d, in: 3, out: 8, kernel_size: 3}
    relu: {op: relu}
"""


@pytest.fixture
def refused(run, tmp_path):
    """Converts a file that must be refused; returns what was said."""

    def call(file, *arguments, code=None, says=(), **options):
        before = {p for p in tmp_path.iterdir()}
        done = run("convert", file, "-o", tmp_path / "out.tflite", *arguments, **options)
        assert done.code == 1, (done.code, done.out, done.err)
        assert code is None or f"error {code}" in done.err, done.err
        for words in says:
            assert words in done.err, f"{words!r} is not in\n{done.err}"
        assert "  try  " in done.err, f"no next step in\n{done.err}"
        assert {p for p in tmp_path.iterdir()} == before, "a file was left behind"
        return done.err

    return call


def text(tmp_path, body):
    file = tmp_path / "m.yaml"
    file.write_text(body)
    return file


def rezipped(source, out, change):
    """A copy of an archive: change(name, bytes) → bytes, or None to leave the entry out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            body = change(info.filename, old.read(info))
            if body is not None:
                new.writestr(info.filename, body)
    return out


@pytest.fixture
def archive(tmp_path):
    """A small exported program, as PyTorch wrote it."""
    from conftest import ROOT

    return ROOT / "tests/data/small.pt2"


def test_missing_file(refused, tmp_path):
    refused(tmp_path / "nothing.pt2", code="E101", says=["No such file"])


def test_a_folder(refused, tmp_path):
    (tmp_path / "folder.pt2").mkdir()
    refused(tmp_path / "folder.pt2", code="E101", says=["it is a folder"])


def test_unknown_kind(refused, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x" * 100)
    refused(tmp_path / "a.jpg", code="E107", says=["a.jpg"])


def test_truncated_archive(refused, archive, tmp_path):
    whole = archive.read_bytes()
    for part in (0, 10, len(whole) // 2, len(whole) - 30):
        file = tmp_path / "cut.pt2"
        file.write_bytes(whole[:part])
        refused(file)


def test_corrupted_weight(refused, archive, tmp_path):
    whole = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as z:
        info = max((i for i in z.infolist() if "/data/weights/weight" in i.filename), key=lambda i: i.file_size)
    with archive.open("rb") as f:
        f.seek(info.header_offset + 26)
        name, extra = struct.unpack("<HH", f.read(4))
    whole[info.header_offset + 30 + name + extra] ^= 0xFF
    (tmp_path / "bad.pt2").write_bytes(whole)
    refused(tmp_path / "bad.pt2", code="E102", says=["weight"])


def test_wrong_json(refused, archive, tmp_path):
    for body in (b"{", b"[]", b'{"graph_module": 3}'):
        file = rezipped(archive, tmp_path / "json.pt2", lambda n, b, body=body: body if n.endswith("models/model.json") else b)
        refused(file)


def test_missing_entry(refused, archive, tmp_path):
    refused(rezipped(archive, tmp_path / "m.pt2", lambda n, b: None if n.endswith("model.json") else b))
    refused(rezipped(archive, tmp_path / "w.pt2", lambda n, b: None if n.endswith("weight_0") else b))


def test_weight_of_the_wrong_length(refused, archive, tmp_path):
    refused(rezipped(archive, tmp_path / "w.pt2", lambda n, b: b[:-4] if n.endswith("weight_0") else b), code="E105")


def test_shape_that_overflows(refused, archive, tmp_path):
    def grow(name, body):
        if not name.endswith("model_weights_config.json"):
            return body
        config = json.loads(body)
        meta = next(iter(config["config"].values()))["tensor_meta"]
        meta["sizes"] = [{"as_int": 2**40} for _ in meta["sizes"]]
        return json.dumps(config)

    refused(rezipped(archive, tmp_path / "big.pt2", grow))


def test_pickle_with_code(refused, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/owned",)

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as z:
        z.writestr("a/data.pkl", pickle.dumps({"conv.weight": Evil()}, protocol=2))
        z.writestr("a/version", "3")
    (tmp_path / "evil.pth").write_bytes(data.getvalue())
    refused(text(tmp_path, SMALL), "--weights", tmp_path / "evil.pth", code="E108", says=["system"])
    assert not (tmp_path / "owned").exists()


def test_unknown_operators_all_at_once(refused, archive, tmp_path):
    def rename(name, body):
        if not name.endswith("model.json"):
            return body
        body = body.replace(b"torch.ops.aten.relu_.default", b"torch.ops.aten.rrelu_with_noise.default")
        return body.replace(b"torch.ops.aten.mul.Tensor", b"torch.ops.aten.mull.Tensor")

    said = refused(rezipped(archive, tmp_path / "u.pt2", rename), code="E201", says=["aten.rrelu_with_noise.default", "aten.mull.Tensor"])
    assert said.count("error E201") == 2 and said.count("  at   ") == 2 and ".py:" in said


def test_text_errors_point_at_the_place(refused, tmp_path):
    said = refused(
        text(tmp_path, SMALL.replace("op: relu", "op: rleu")), "--seed", 0, code="E302", says=["rleu", "did you mean 'relu'?", "m.yaml:7:"]
    )
    assert "^^^^" in said


def test_all_text_errors_at_once(refused, tmp_path):
    body = SMALL.replace("op: relu", "op: rleu").replace("kernel_size: 3", "kernel_sise: 3")
    said = refused(text(tmp_path, body), "--seed", 0)
    assert "rleu" in said and "kernel_sise" in said and said.count("error E") >= 2


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (("op: relu", "block: Nothing"), "E302", ["Nothing"]),
        (("out: 8, ", ""), "E303", ["out"]),
        (("in: 3", "in: three"), "E304", []),
        (("in: 3", "in: 4"), "E501", ["[1, 3, 16, 16]"]),
        (("kernel_size: 3", "kernel_size: 40"), "E501", ["40"]),
        (("op: relu", "op: relu, inputs: nowhere"), "E306", ["nowhere"]),
        (("in: 3", "in: $wdth"), "E305", ["wdth"]),
        (("in: 3", "in: 1 // 0 + $image"), None, []),
        (("wherry: 1", "wherry: 99"), "E309", ["99"]),
        (("relu: {op: relu}", "conv: {op: relu}"), "E308", ["conv"]),
        (("out: 8", "out: 4611686018427387904"), "E503", []),
        (("    relu: {op: relu}", "    relu: {op: relu"), "E301", []),
        (("name: small", "nome: small"), "E302", ["nome", "did you mean 'name'?"]),
    ],
)
def test_text_faults(refused, tmp_path, change, code, says):
    refused(text(tmp_path, SMALL.replace(*change)), "--seed", 0, code=code, says=says)


def test_block_in_a_circle(refused, tmp_path):
    body = SMALL.replace("model:", "blocks:\n  A:\n    layers:\n      a: {block: B}\n  B:\n    layers:\n      b: {block: A}\nmodel:", 1)
    refused(text(tmp_path, body.replace("op: relu", "block: A")), "--seed", 0, code="E307")


def safetensors(path, tensors):
    header, offset = {}, 0
    for name, (shape, body) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(body)]}
        offset += len(body)
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(body for _, body in tensors.values()))
    return path


def zeros(*shape):
    count = 4
    for size in shape:
        count *= size
    return list(shape), bytes(count)


GOOD = {"conv.weight": zeros(8, 3, 3, 3), "conv.bias": zeros(8)}


def test_no_weights_named(refused, tmp_path):
    refused(text(tmp_path, SMALL), code="E401", says=["--weights", "--seed"])


def test_weight_missing(refused, tmp_path):
    file = safetensors(tmp_path / "w.safetensors", {"conv.weight": GOOD["conv.weight"], "conv.bais": GOOD["conv.bias"]})
    refused(text(tmp_path, SMALL), "--weights", file, code="E401", says=["conv.bias"])


def test_weight_left_over(refused, tmp_path):
    file = safetensors(tmp_path / "w.safetensors", GOOD | {"extra.weight": zeros(2)})
    refused(text(tmp_path, SMALL), "--weights", file, code="E402", says=["extra.weight"])


def test_weight_of_the_wrong_shape_shows_both(refused, tmp_path):
    file = safetensors(tmp_path / "w.safetensors", GOOD | {"conv.weight": zeros(8, 3, 5, 5)})
    refused(text(tmp_path, SMALL), "--weights", file, code="E403", says=["[8, 3, 5, 5]", "[8, 3, 3, 3]"])


def test_broken_safetensors(refused, tmp_path):
    file = safetensors(tmp_path / "w.safetensors", GOOD)
    whole = file.read_bytes()
    for body in (whole[:4], whole[:40], whole[:-4], b"\xff" * 8 + whole[8:], whole[:8] + b"[" + whole[9:]):
        file.write_bytes(body)
        refused(text(tmp_path, SMALL), "--weights", file)


def test_no_such_folder(run, tmp_path):
    done = run("convert", text(tmp_path, SMALL), "--seed", 0, "-o", tmp_path / "no/where.tflite")
    assert done.code == 1 and "E601" in done.err and "  try  " in done.err


def test_no_write_permission(run, tmp_path):
    done = run("convert", text(tmp_path, SMALL), "--seed", 0, "-o", "/proc/out.tflite")
    assert done.code == 1 and "E601" in done.err


def test_disk_full(refused, tmp_path):
    refused(text(tmp_path, SMALL.replace("out: 8", "out: 4000")), "--seed", 0, code="E601", limit=16)


def test_output_without_a_format(run, tmp_path):
    done = run("convert", text(tmp_path, SMALL), "--seed", 0, "-o", tmp_path / "out.xyz")
    assert done.code == 1 and "E602" in done.err and ".tflite" in done.err


def test_an_option_for_another_output(run, refused, tmp_path):
    model = text(tmp_path, SMALL)
    done = run("convert", model, "--seed", 0, "--l1-cache", 48, "-o", tmp_path / "out.onnx")
    assert done.code == 1 and "E604" in done.err and "--l1-cache is for a .tflite" in done.err
    refused(model, "--seed", 0, "--l1-cache", 48, "--precision", "dynamic", code="E604", says=["not needed", "dynamic"])


def test_no_litert(refused, tmp_path):
    refused(text(tmp_path, SMALL), "--seed", 0, code="E701", says=["ai-edge-litert"], env={"WHERRY_LITERT": "/nowhere"})


def test_broken_tflite(run, tmp_path):
    (tmp_path / "b.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 400)
    done = run("verify", text(tmp_path, SMALL), tmp_path / "b.tflite", "--seed", 0)
    assert done.code == 1 and "error E" in done.err
    assert run("show", tmp_path / "b.tflite").code == 1


def test_verify_inputs_that_do_not_fit(run, tmp_path):
    import numpy as np

    np.savez(tmp_path / "x.npz", image=np.zeros((1, 3, 8, 8), np.float32))
    file = text(tmp_path, SMALL)
    done = run("verify", file, file, "--seed", 0, "--inputs", tmp_path / "x.npz")
    assert done.code == 1 and "E705" in done.err and "[1, 3, 8, 8]" in done.err and "[1, 3, 16, 16]" in done.err


def test_json_carries_the_errors(run, tmp_path):
    done = run("convert", tmp_path / "nothing.pt2", "-o", tmp_path / "o.tflite", "--json")
    assert done.code == 1 and done.json["errors"][0]["code"] == "E101"
