"""ONNX out and in: every operator in ONNX Runtime, whole models both ways, PyTorch's exporter, files that are not whole."""

import io
import json
import warnings

import numpy as np
import pytest
from examples import array, dump_tool, examples

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

MODELS = ["fbnet_a", "fbnet_b", "fbnet_c", "efficientnet_lite0", "mobilenet_v2", "resnet18"]


def session(model):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model if isinstance(model, bytes) else str(model), options)


@pytest.mark.parametrize("opset", ["13", "18", "26"])
def test_every_example_in_onnx_runtime(opset):
    """What ONNX Runtime's own kernels lack (bool and integer variants of some operators) is left to the checker."""
    if dump_tool() is None:
        pytest.skip("dump_examples is not built: make build")
    folder = dump_tool().parent / "examples"
    wrong, without_kernel, refused = [], [], []
    for entry in examples()[1]:
        name = entry["onnx"][opset]
        if not name.endswith(".onnx"):
            refused.append(name)
            continue
        model = onnx.load(folder / name)
        onnx.checker.check_model(model, full_check=True)
        try:
            runtime = session(folder / name)
        except Exception as error:  # noqa: BLE001
            assert "NOT_IMPLEMENTED" in str(error), f"{entry['example']}: {error}"
            without_kernel.append(entry["example"])
            continue
        given = {port.name: array(spec) for port, spec in zip(runtime.get_inputs(), entry["inputs"], strict=True)}
        for ours, theirs in zip([array(spec) for spec in entry["outputs"]], runtime.run(None, given), strict=True):
            scale = max(1.0, float(np.abs(ours).max()) if ours.size and ours.dtype.kind == "f" else 1.0)
            if (
                ours.dtype != theirs.dtype
                or ours.shape != theirs.shape
                or not np.allclose(ours, theirs, rtol=0, atol=3e-6 * scale, equal_nan=True)
            ):
                wrong.append(entry["example"])
    assert not wrong
    assert len(without_kernel) <= 3, without_kernel
    younger = {"13": ("mode circular needs opset 19", "bits are brought together since opset 18"), "18": ("mode circular needs opset 19",)}
    assert not [reason for reason in refused if not reason.endswith(younger.get(opset, ()))], refused


@pytest.mark.parametrize("name", MODELS)
def test_models_go_out_and_come_back(run, tmp_path, name):
    text = pytest.importorskip("wherry") and f"models/{name}.yaml"
    from conftest import ROOT

    done = run(
        "convert", ROOT / text, "--seed", "0", "-o", tmp_path / "m.onnx", "--json", env={"WHERRY_PYTHON": __import__("sys").executable}
    )
    assert done.code == 0, done.err
    report = done.json
    assert report["verified"] and report["runtime"] == "ONNX Runtime" and report["relative_error"] <= 3e-5
    onnx.checker.check_model(str(tmp_path / "m.onnx"), full_check=True)
    assert run("convert", tmp_path / "m.onnx", "-o", tmp_path / "m.tflite").code == 0
    assert run("import", tmp_path / "m.onnx", "-o", tmp_path / "m.yaml").code == 0
    again = run("convert", tmp_path / "m.yaml", "-o", tmp_path / "again.onnx", "--no-verify")
    assert again.code == 0, again.err
    assert len((tmp_path / "m.yaml").read_text().splitlines()) <= 150
    a, b = (onnx.load(tmp_path / file).graph for file in ("m.onnx", "again.onnx"))
    assert [node.op_type for node in a.node] == [node.op_type for node in b.node]
    weights = [{i.name: i.raw_data for i in graph.initializer if ":" not in i.name} for graph in (a, b)]  # without shapes and axes
    assert weights[0] == weights[1]


def test_bytes_are_deterministic(run, tmp_path):
    from conftest import ROOT

    for file in ("a.onnx", "b.onnx"):
        assert run("convert", ROOT / "models/resnet18.yaml", "--seed", "1", "-o", tmp_path / file, "--no-verify").code == 0
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_pytorch_exports_come_in(run, tmp_path):
    """The exporter by TorchScript: module paths out of its names, an axis left open, ReduceMean of opset 18."""
    torch = pytest.importorskip("torch")

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(4, 4, 3, padding=1)
            self.norm = torch.nn.GroupNorm(2, 4)

        def forward(self, x):
            return torch.nn.functional.silu(self.norm(self.conv(x))) + x

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 4, 3, 2)
            self.blocks = torch.nn.Sequential(Block(), Block())
            self.head = torch.nn.Linear(4, 5)

        def forward(self, x):
            return self.head(self.blocks(self.stem(x)).mean([2, 3]))

    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(1, 3, 16, 16)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (x,), buffer, opset_version=18, dynamo=False, input_names=["image"], dynamic_axes={"image": {0: "batch"}})
    file = tmp_path / "net.onnx"
    file.write_bytes(buffer.getvalue())
    assert any(node.op_type == "ReduceMean" for node in onnx.load(file).graph.node)
    refused = run("convert", file, "-o", tmp_path / "net.tflite")
    assert refused.code == 1 and "--dim batch=1" in refused.err
    done = run("convert", file, "-o", tmp_path / "net.tflite", "--dim", "batch=1")
    assert done.code == 0, done.err
    import wherry

    found = wherry.load(file, dims={"batch": 1}).run([x.numpy()])[0]
    np.testing.assert_allclose(found, net(x).detach().numpy(), atol=1e-5)
    assert run("import", file, "-o", tmp_path / "net.yaml", "--dim", "batch=1").code == 0
    assert "blocks.0" in (tmp_path / "net.yaml").read_text()


def small(nodes, inputs, outputs, initializers=(), opset=18, **more):
    graph = onnx.helper.make_graph(nodes, "small", inputs, outputs, list(initializers))
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8, **more)


def value(name, shape, kind=onnx.TensorProto.FLOAT):
    return onnx.helper.make_tensor_value_info(name, kind, shape)


def refuse(run, tmp_path, model, *words):
    file = tmp_path / "bad.onnx"
    file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    done = run("convert", file, "-o", tmp_path / "out.tflite")
    assert done.code == 1, done.out
    for word in words:
        assert word in done.err, done.err
    assert not (tmp_path / "out.tflite").exists()


def test_faults_are_named(run, tmp_path):
    node, x, y = onnx.helper.make_node, value("x", [1, 4]), value("y", [1, 4])
    good = small([node("Relu", ["x"], ["y"])], [x], [y]).SerializeToString()
    refuse(run, tmp_path, b"", "E102")
    refuse(run, tmp_path, b"no model at all", "E102")
    refuse(run, tmp_path, good[:-7], "E102")
    refuse(run, tmp_path, small([node("Add", ["x", "x"], ["y"])], [x], [y], opset=6), "E106", "'Add' of opset 6")
    refuse(run, tmp_path, small([node("Relu", ["x"], ["y"])], [x], [y], opset=29), "E106", "opset 29")
    unknown = [
        node("Reluu", ["x"], ["a"], name="first"),
        node("Mystery", ["a"], ["b"], name="second", domain="com.example"),
        node("Wow", ["x"], ["y"]),
    ]
    refuse(run, tmp_path, small(unknown, [x], [y]), "'Reluu'", "did you mean 'Relu'", "'Wow'")
    others = [
        node("Odd", ["x"], ["a"], name="n", domain="com.example"),
        node("Even", ["x"], ["b"], domain="org.example"),
        node("Add", ["a", "b"], ["y"]),
    ]
    refuse(run, tmp_path, small(others, [x], [y]), "'com.example.Odd'", "at   n", "'org.example.Even'", "a function of the file")
    refuse(run, tmp_path, small([node("Relu", ["gone"], ["y"])], [x], [y]), "E103", "'gone'")
    refuse(run, tmp_path, small([node("Relu", ["x"], ["y"])], [value("x", None)], [y]), "E504", "no shape")
    refuse(run, tmp_path, small([node("Relu", ["x"], ["y"])], [value("x", ["n", 4])], [y]), "E504", "--dim n=1")
    refuse(run, tmp_path, small([node("Reshape", ["x", "s"], ["y"])], [x, value("s", [2], onnx.TensorProto.INT64)], [y]), "E203", "shape")


def test_missing_external_data_is_named(run, tmp_path):
    weight = onnx.numpy_helper.from_array(np.ones((4, 4), np.float32), "w")
    model = small([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", [1, 4])], [value("y", [1, 4])], [weight])
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    assert run("convert", tmp_path / "m.onnx", "-o", tmp_path / "m.tflite").code == 0
    (tmp_path / "m.bin").write_bytes(b"short")
    done = run("convert", tmp_path / "m.onnx", "-o", tmp_path / "n.tflite")
    assert done.code == 1 and "E105" in done.err and "m.bin" in done.err
    (tmp_path / "m.bin").unlink()
    done = run("convert", tmp_path / "m.onnx", "-o", tmp_path / "n.tflite")
    assert done.code == 1 and "E101" in done.err and "m.bin" in done.err and not (tmp_path / "n.tflite").exists()


def test_quantized_models_are_read(run, tmp_path):
    """Weights become the reals that they stand for; quantized activations stay."""
    node, tensor_of = onnx.helper.make_node, onnx.numpy_helper.from_array
    rng = np.random.default_rng(0)
    q = rng.integers(-127, 127, (5, 4)).astype(np.int8)
    constants = [tensor_of(q, "q"), tensor_of(np.full(5, 0.02, np.float32), "s"), tensor_of(np.zeros(5, np.int8), "z")]
    constants += [tensor_of(np.float32(0.05), "xs"), tensor_of(np.uint8(128), "xz")]
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["xq"]),
        node("DequantizeLinear", ["xq", "xs", "xz"], ["xr"]),
        node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
        node("Gemm", ["xr", "w"], ["y"], transB=1),
    ]
    file = tmp_path / "q.onnx"
    model = small(nodes, [value("x", [2, 4])], [value("y", [2, 5])], constants)
    file.write_bytes(model.SerializeToString())
    import wherry

    x = rng.normal(size=(2, 4)).astype(np.float32)
    expected = session(model.SerializeToString()).run(None, {"x": x})[0]
    np.testing.assert_allclose(wherry.load(file).run([x])[0], expected, atol=1e-5)
    assert json.loads(run("show", file, "--json").out)


def test_a_branch_that_is_known_is_taken(tmp_path):
    node = onnx.helper.make_node
    then = onnx.helper.make_graph([node("Relu", ["x"], ["a"])], "then", [], [value("a", [4])])
    other = onnx.helper.make_graph([node("Neg", ["x"], ["b"])], "else", [], [value("b", [4])])
    condition = onnx.numpy_helper.from_array(np.array(True), "c")
    model = small([node("If", ["c"], ["y"], then_branch=then, else_branch=other)], [value("x", [4])], [value("y", [4])], [condition])
    (tmp_path / "if.onnx").write_bytes(model.SerializeToString())
    import wherry

    x = np.array([-1, 2, -3, 4], np.float32)
    np.testing.assert_array_equal(wherry.load(tmp_path / "if.onnx").run([x])[0], np.maximum(x, 0))


def constant(name, array):
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def graph(name, nodes, inputs, outputs, initializers=()):
    return onnx.helper.make_graph(nodes, name, inputs, outputs, list(initializers))


def both(tmp_path, model, inputs):
    """ONNX Runtime's outputs and those of Wherry's evaluator."""
    import wherry

    file = tmp_path / "both.onnx"
    file.write_bytes(model.SerializeToString())
    names = [value.name for value in model.graph.input]
    return session(file).run(None, dict(zip(names, inputs, strict=True))), wherry.load(file).run(inputs)


def test_loops_of_a_known_count_are_unrolled(run, tmp_path):
    """State, a collected result, a weight of the body's own, and a condition that ends the loop before its count."""
    node, integer, truth = onnx.helper.make_node, onnx.TensorProto.INT64, onnx.TensorProto.BOOL
    body = graph(
        "body",
        [
            node("MatMul", ["state", "w"], ["product"]),
            node("Tanh", ["product"], ["next"]),
            node("Less", ["i", "three"], ["go"]),
            node("Identity", ["next"], ["seen"]),
        ],
        [value("i", [], integer), value("more", [], truth), value("state", [1, 4])],
        [value("go", [], truth), value("next", [1, 4]), value("seen", [1, 4])],
        [constant("w", np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)), constant("three", np.int64(3))],
    )
    loop = node("Loop", ["count", "yes", "x"], ["y", "all"], body=body, name="steps")
    constants = [constant("count", np.int64(9)), constant("yes", np.bool_(True))]
    model = small([loop], [value("x", [1, 4])], [value("y", [1, 4]), value("all", [5, 1, 4])], constants)
    theirs, ours = both(tmp_path, model, [np.ones((1, 4), np.float32)])
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(b, a, atol=1e-6)
    assert run("import", tmp_path / "both.onnx", "-o", tmp_path / "loop.yaml").code == 0
    assert "steps" in (tmp_path / "loop.yaml").read_text()
    model.graph.initializer[0].CopyFrom(constant("count", np.int64(10**7)))
    body.node[2].CopyFrom(node("Identity", ["more"], ["go"]))
    endless = small(
        [node("Loop", ["count", "yes", "x"], ["y", "all"], body=body)],
        [value("x", [1, 4])],
        [value("y", [1, 4])],
        [constant("count", np.int64(10**7)), constant("yes", np.bool_(True))],
    )
    refuse(run, tmp_path, endless, "E203", "'Loop' repeats")
    open_end = small([loop], [value("x", [1, 4]), value("count", [], integer)], [value("y", [1, 4])], constants[1:])
    refuse(run, tmp_path, open_end, "E203", "a fixed number is needed")


def test_a_scan_goes_along_a_known_axis(tmp_path):
    node = onnx.helper.make_node
    body = graph(
        "body",
        [node("Add", ["sum", "part"], ["next"]), node("Mul", ["next", "next"], ["square"])],
        [value("sum", [3]), value("part", [3])],
        [value("next", [3]), value("square", [3])],
    )
    scan = node("Scan", ["start", "x"], ["last", "squares"], body=body, num_scan_inputs=1, scan_input_directions=[1], scan_output_axes=[1])
    model = small(
        [scan], [value("x", [4, 3])], [value("last", [3]), value("squares", [3, 4])], [constant("start", np.zeros(3, np.float32))]
    )
    theirs, ours = both(tmp_path, model, [np.arange(12, dtype=np.float32).reshape(4, 3)])
    for a, b in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(b, a)


def test_sequences_vanish(run, tmp_path):
    node = onnx.helper.make_node
    nodes = [
        node("SplitToSequence", ["x"], ["parts"], axis=1),
        node("SequenceAt", ["parts", "one"], ["middle"]),
        node("SequenceErase", ["parts", "one"], ["rest"]),
        node("SequenceInsert", ["rest", "middle"], ["turned"]),
        node("ConcatFromSequence", ["turned"], ["y"], axis=1),
    ]
    model = small(nodes, [value("x", [2, 3])], [value("y", [2, 3])], [constant("one", np.int64(1))])
    theirs, ours = both(tmp_path, model, [np.arange(6, dtype=np.float32).reshape(2, 3)])
    np.testing.assert_array_equal(ours[0], theirs[0])
    refuse(
        run,
        tmp_path,
        small([*nodes[:1], node("Relu", ["parts"], ["y"])], [value("x", [2, 3])], [value("y", [2, 3])]),
        "'parts' is a sequence",
    )


def test_models_of_quantized_operators_are_read(tmp_path):
    node, rng = onnx.helper.make_node, np.random.default_rng(0)
    constants = [
        constant("xs", np.float32(0.05)),
        constant("xz", np.uint8(128)),
        constant("w", rng.integers(-127, 127, (4, 3, 3, 3)).astype(np.int8)),
        constant("ws", np.full(4, 0.01, np.float32)),
        constant("wz", np.zeros(4, np.int8)),
        constant("b", rng.integers(-500, 500, 4).astype(np.int32)),
        constant("ys", np.float32(0.2)),
        constant("yz", np.uint8(100)),
    ]
    nodes = [
        node("QuantizeLinear", ["x", "xs", "xz"], ["q"]),
        node("QLinearConv", ["q", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("DequantizeLinear", ["c", "ys", "yz"], ["y"]),
    ]
    model = small(nodes, [value("x", [1, 3, 8, 8])], [value("y", [1, 4, 8, 8])], constants)
    theirs, ours = both(tmp_path, model, [rng.normal(size=(1, 3, 8, 8)).astype(np.float32)])
    assert np.abs(ours[0] - theirs[0]).max() <= 0.2001  # one step, where a half is rounded the other way
    assert np.mean(ours[0] == theirs[0]) > 0.99


@pytest.mark.parametrize("kind", ["FLOAT16", "BFLOAT16", "DOUBLE"])
def test_other_floats_are_computed_as_float32(tmp_path, kind):
    """A model of half, brain or double floats goes to .tflite, and is verified there."""
    import wherry

    node, number = onnx.helper.make_node, getattr(onnx.TensorProto, kind)
    weight = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    nodes = [node("MatMul", ["x", "w"], ["a"]), node("Softmax", ["a"], ["b"]), node("Add", ["b", "x"], ["y"])]
    tensor = onnx.helper.make_tensor("w", number, (8, 8), weight.ravel())
    model = small(nodes, [value("x", [4, 8], number)], [value("y", [4, 8], number)], [tensor])
    (tmp_path / "half.onnx").write_bytes(model.SerializeToString())
    done = wherry.convert(tmp_path / "half.onnx", out=tmp_path / "half.tflite")
    assert done.verified


def test_small_integers_are_computed_in_wider_ones(tmp_path):
    """TFLite's kernels take 8 bits for quantized reals: what is meant as integers is cast, and wraps as it should."""
    import wherry

    node, number = onnx.helper.make_node, onnx.TensorProto.UINT8
    model = small(
        [node("Add", ["x", "k"], ["a"]), node("Mul", ["a", "x"], ["b"]), node("Less", ["b", "x"], ["y"])],
        [value("x", [2, 5], number)],
        [value("b", [2, 5], number), value("y", [2, 5], onnx.TensorProto.BOOL)],
        [constant("k", np.full((1, 5), 200, np.uint8))],
    )
    (tmp_path / "bytes.onnx").write_bytes(model.SerializeToString())
    assert wherry.convert(tmp_path / "bytes.onnx", out=tmp_path / "bytes.tflite").verified
    x = np.arange(0, 250, 25).astype(np.uint8).reshape(2, 5)
    for b, y in [wherry.load(tmp_path / "bytes.onnx").run([x]), wherry.TfliteModel(tmp_path / "bytes.tflite").run([x])]:
        np.testing.assert_array_equal(b, (x + np.uint8(200)) * x)
        np.testing.assert_array_equal(y, b < x)
