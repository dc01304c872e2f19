"""`wherry check FILE.tflite`: a sound integer file passes, and each fault planted in its bytes is named."""

import numpy as np
import pytest

flatbuffers = pytest.importorskip("flatbuffers")
schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

NET = """
wherry: 1
name: tiny
model:
  inputs: {image: "float32[1, 3, 8, 8]"}
  layers:
    conv: {op: conv2d, in: 3, out: 8, kernel_size: 3, padding: 1}
    relu: {op: relu}
    left: {op: conv2d, in: 8, out: 4, kernel_size: 1}
    right: {op: conv2d, inputs: relu, in: 8, out: 4, kernel_size: 1}
    both: {op: cat, inputs: [left, right], dim: 1}
    pool: {op: adaptive_avg_pool2d, output_size: 1}
    flat: {op: flatten, start_dim: 1}
    head: {op: linear, in: 8, out: 5}
    soft: {op: softmax, dim: 1}
  outputs: {scores: soft}
"""


@pytest.fixture(scope="module")
def files(run, tmp_path_factory):
    """The float file and the int8 one that Wherry makes of it."""
    folder = tmp_path_factory.mktemp("check")
    text = folder / "tiny.yaml"
    text.write_text(NET)
    np.save(folder / "data.npy", np.random.default_rng(0).standard_normal((32, 3, 8, 8)).astype(np.float32))
    made = [folder / "float.tflite", folder / "int8.tflite"]
    assert run("convert", text, "-o", made[0], "--seed", 1).code == 0
    done = run("convert", text, "-o", made[1], "--seed", 1, "--precision", "int8", "--calibrate", folder / "data.npy")
    assert done.code == 0, done.err
    return made


class Faulty:
    """A .tflite as the objects of LiteRT's own schema, to be changed and written again."""

    def __init__(self, path):
        self.model = schema.ModelT.InitFromPackedBuf(bytearray(path.read_bytes()), 0)
        self.graph = self.model.subgraphs[0]

    def operator(self, name):
        codes = {value: key for key, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
        return next(o for o in self.graph.operators if codes[self.model.operatorCodes[o.opcodeIndex].builtinCode] == name)

    def operand(self, operator, place):
        return self.graph.tensors[self.operator(operator).inputs[place]]

    def result(self, operator):
        return self.graph.tensors[self.operator(operator).outputs[0]]

    def numbers(self, tensor, dtype):
        return np.frombuffer(bytes(self.model.buffers[tensor.buffer].data), dtype).copy()

    def put(self, tensor, numbers):
        self.model.buffers[tensor.buffer].data = np.frombuffer(numbers.tobytes(), np.uint8)

    def write(self, path):
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        path.write_bytes(builder.Output())
        return path


def saturate(f):
    bias = f.operand("CONV_2D", 2)
    numbers = f.numbers(bias, np.int32)
    numbers[0] = -(2**31)
    f.put(bias, numbers)


def shrink_scale(f):
    f.operand("CONV_2D", 1).quantization.scale[0] = 1e-41


def move_bias_scale(f):
    f.operand("FULLY_CONNECTED", 2).quantization.scale[0] *= 2


def turn_axis(f):
    f.operand("CONV_2D", 1).quantization.quantizedDimension = 3


def break_tie(f):
    f.result("CONCATENATION").quantization.scale[0] *= 1.5


def widen_softmax(f):
    f.result("SOFTMAX").quantization.scale[0] *= 1.01


def raise_version(f):
    f.model.operatorCodes[f.operator("CONV_2D").opcodeIndex].version = 7


def shift_weight(f):
    f.operand("CONV_2D", 1).quantization.zeroPoint[1] = 4


@pytest.mark.parametrize(
    "plant, rule, code",
    [
        (saturate, "bias-saturated", 1),
        (saturate, "accumulator-overflow", 1),
        (shrink_scale, "scale-invalid", 1),
        (move_bias_scale, "bias-scale", 1),
        (turn_axis, "weight-axis", 1),
        (break_tie, "tie-broken", 1),
        (widen_softmax, "fixed-grid", 1),
        (raise_version, "version-high", 0),
        (shift_weight, "weight-zero-point", 1),
    ],
)
def test_a_planted_fault_is_named(run, files, tmp_path, plant, rule, code):
    faulty = Faulty(files[1])
    plant(faulty)
    done = run("check", faulty.write(tmp_path / "faulty.tflite"), "--json")
    assert rule in [finding["rule"] for finding in done.json["findings"]]
    assert done.code == code
    assert ("E805" in done.err) == (code == 1)


def test_our_own_file_has_no_faults(run, files):
    done = run("check", files[1], "--reference", files[0], "--json")
    assert done.code == 0 and done.json["errors"] == 0 and done.json["warnings"] == 0, done.json["findings"]
    assert done.json["census"]["weight"] == {"int8": 4}
    assert run("check", files[0], "--json").json["findings"] == []


def test_the_reference_tells_what_the_file_alone_cannot(run, files, tmp_path):
    faulty = Faulty(files[1])
    weight = faulty.operand("FULLY_CONNECTED", 1)
    faulty.put(weight, faulty.numbers(weight, np.int8)[::-1])
    path = faulty.write(tmp_path / "reversed.tflite")
    assert run("check", path).code == 0
    done = run("check", path, "--reference", files[0], "--json")
    assert done.code == 1 and "weight-unlike" in [finding["rule"] for finding in done.json["findings"]]


def halve_logits_range(f):
    """The classifier's output range, and with it the bias's fit, as a calibration that averages maxima would set it."""
    logits = f.result("FULLY_CONNECTED").quantization
    logits.scale = [scale / 2 for scale in logits.scale]


def test_data_show_that_the_answer_is_cut(run, files, tmp_path):
    faulty = Faulty(files[1])
    halve_logits_range(faulty)
    path, data = faulty.write(tmp_path / "narrow.tflite"), files[1].parent / "nhwc.npy"
    np.save(data, np.load(files[1].parent / "data.npy").transpose(0, 2, 3, 1))
    sound, narrow = (run("check", file, "--data", data, "--json") for file in (files[1], path))
    assert sound.code == 0, sound.json["findings"]
    assert narrow.code == 1 and [f["rule"] for f in narrow.json["findings"] if f["severity"] == "error"] == ["logits-clipped"]
    assert run("check", files[1].parent / "tiny.yaml", "--data", data).code == 1  # a source is not audited


def test_a_damaged_file_is_refused(run, files, tmp_path):
    whole = files[1].read_bytes()
    for length in (0, 7, 100, len(whole) // 2):
        (tmp_path / "cut.tflite").write_bytes(whole[:length])
        done = run("check", tmp_path / "cut.tflite")
        assert done.code == 1 and "error E1" in done.err, (length, done.err)


def test_verify_compares_the_integers_as_reals(run, files):
    done = run("verify", files[0], files[1], "--layers", "--json")
    assert done.code == 0, done.err
    assert done.json["precision"] == "int8" and done.json["sqnr_db"] > 15
    layers = [layer["sqnr_db"] for layer in done.json["layers"]]
    assert len(layers) >= 5 and layers == sorted(layers)
