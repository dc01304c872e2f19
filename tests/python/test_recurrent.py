"""Recurrent layers of PyTorch and ONNX, written out step by step: the reference evaluation of each against PyTorch, and in LiteRT."""

import pytest

torch = pytest.importorskip("torch")
wherry = pytest.importorskip("wherry")
import numpy as np  # noqa: E402

nn = torch.nn
STEPS, BATCH, IN, HIDDEN = 3, 2, 4, 5


def floats(*sizes):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(sum(sizes) + 1))


class Layer(nn.Module):
    """A layer whose states come out beside its result, and go in where they are given."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, *states):
        out = self.layer(x, states if len(states) > 1 else states[0]) if states else self.layer(x)
        if isinstance(out, torch.Tensor):
            return out
        first, rest = out
        return (first, *rest) if isinstance(rest, tuple) else (first, rest)


def seeded(make):
    torch.manual_seed(0)
    return Layer(make()).eval()


def save(model, args, path, **options):
    torch.export.save(torch.export.export(model, args, strict=False, **options), path)


def expected_of(model, args):
    with torch.no_grad():
        out = model(*args)
    return [o.numpy() for o in ([out] if isinstance(out, torch.Tensor) else out)]


def compare(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-6)


def check(make, args, path):
    model = seeded(make)
    save(model, args, path)
    expected, arrays = expected_of(model, args), [a.numpy() for a in args]
    loaded = wherry.load(path)
    compare(loaded.run(arrays), expected)
    target = path.with_suffix(".tflite")
    wherry.convert(path, out=target, io="nchw", verify=False)
    lite = wherry.TfliteModel(target)
    given = dict(zip([name for name, _ in loaded.inputs], arrays, strict=True))
    found = dict(zip([name for name, _ in lite.outputs], lite.run([given[name] for name, _ in lite.inputs]), strict=True))
    compare([found[name] for name, _ in loaded.outputs], expected)


X = floats(STEPS, BATCH, IN)
ROW = floats(BATCH, IN)
STATE = floats(BATCH, HIDDEN)

LAYERS = {
    "lstm": lambda: nn.LSTM(IN, HIDDEN),
    "lstm_two_layers": lambda: nn.LSTM(IN, HIDDEN, num_layers=2),
    "lstm_both_ways": lambda: nn.LSTM(IN, HIDDEN, bidirectional=True),
    "lstm_all": lambda: nn.LSTM(IN, HIDDEN, 2, bidirectional=True, batch_first=True, dropout=0.5, proj_size=3),
    "lstm_projection_no_bias": lambda: nn.LSTM(IN, HIDDEN, proj_size=2, bias=False),
    "lstm_no_bias": lambda: nn.LSTM(IN, HIDDEN, bias=False),
    "gru": lambda: nn.GRU(IN, HIDDEN),
    "gru_all": lambda: nn.GRU(IN, HIDDEN, 2, bidirectional=True, batch_first=True, dropout=0.5),
    "gru_no_bias": lambda: nn.GRU(IN, HIDDEN, bias=False),
    "rnn": lambda: nn.RNN(IN, HIDDEN),
    "rnn_relu": lambda: nn.RNN(IN, HIDDEN, nonlinearity="relu", bidirectional=True),
    "rnn_all": lambda: nn.RNN(IN, HIDDEN, 2, bidirectional=True, batch_first=True, bias=False),
}
CELLS = {
    "lstm_cell": lambda: nn.LSTMCell(IN, HIDDEN),
    "gru_cell": lambda: nn.GRUCell(IN, HIDDEN),
    "gru_cell_no_bias": lambda: nn.GRUCell(IN, HIDDEN, bias=False),
    "rnn_cell": lambda: nn.RNNCell(IN, HIDDEN),
    "rnn_cell_relu": lambda: nn.RNNCell(IN, HIDDEN, nonlinearity="relu"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, tmp_path):
    check(LAYERS[name], (X,), tmp_path / "m.pt2")


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_states_that_are_given(name, tmp_path):
    state = floats(1, BATCH, HIDDEN)
    check(LAYERS[name], (X, state, state * 0.5) if name == "lstm" else (X, state), tmp_path / "m.pt2")


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "lstm_both_ways"])
def test_without_a_batch(name, tmp_path):
    check(LAYERS[name], (X[:, 0],), tmp_path / "m.pt2")


@pytest.mark.parametrize("name", CELLS)
def test_cell(name, tmp_path):
    check(CELLS[name], (ROW,), tmp_path / "m.pt2")


@pytest.mark.parametrize("name", ["lstm_cell", "gru_cell", "rnn_cell"])
def test_state_of_a_cell(name, tmp_path):
    check(CELLS[name], (ROW, STATE, STATE * 0.5) if name == "lstm_cell" else (ROW, STATE), tmp_path / "m.pt2")


def test_cell_without_a_batch(tmp_path):
    check(CELLS["lstm_cell"], (ROW[0],), tmp_path / "m.pt2")


def test_one_step(tmp_path):
    check(LAYERS["lstm"], (X[:1],), tmp_path / "m.pt2")


class ComputedWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList([floats(3 * HIDDEN, IN), floats(3 * HIDDEN, HIDDEN), floats(3 * HIDDEN), floats(3 * HIDDEN)])

    def forward(self, x, state):
        return torch.gru_cell(x, state, *[w * x.mean() for w in self.weights])


def test_weights_that_the_model_computes(tmp_path):
    model, args = ComputedWeights().eval(), (ROW, STATE)
    save(model, args, tmp_path / "m.pt2")
    compare(wherry.load(tmp_path / "m.pt2").run([a.numpy() for a in args]), expected_of(model, args))


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_an_open_batch(name, tmp_path):
    layer, path, batch = seeded(LAYERS[name]).layer, tmp_path / "m.pt2", {1: torch.export.Dim("batch", min=2)}

    def args(size):
        state = floats(1, size, HIDDEN)
        return floats(STEPS, size, IN), (state, state * 0.5) if name == "lstm" else state

    save(layer, args(BATCH), path, dynamic_shapes=(batch, (batch, batch) if name == "lstm" else batch))
    symbol = wherry.load(path).inputs[0][1].split(", ")[1]
    x, states = args(5)
    arrays = [x, *states] if name == "lstm" else [x, states]
    with torch.no_grad():
        expected, _ = layer(x, states)
    compare(wherry.load(path, dims={symbol: 5}).run([a.numpy() for a in arrays])[:1], [expected.numpy()])


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_an_open_batch_of_states_that_are_zero(name, tmp_path):
    layer, path = seeded(LAYERS[name]).layer, tmp_path / "m.pt2"
    save(layer, (floats(STEPS, BATCH, IN),), path, dynamic_shapes=({1: torch.export.Dim("batch", min=2)},))
    symbol = wherry.load(path).inputs[0][1].split(", ")[1]
    x = floats(STEPS, 5, IN)
    with torch.no_grad():
        expected, _ = layer(x)
    compare(wherry.load(path, dims={symbol: 5}).run([x.numpy()])[:1], [expected.numpy()])


def test_dropout_in_training_is_refused(tmp_path):
    torch.manual_seed(0)
    model, path = Layer(nn.LSTM(IN, HIDDEN, 2, dropout=0.5)).train(), tmp_path / "m.pt2"
    save(model, (X,), path)
    with pytest.raises(wherry.WherryError, match="drops at random"):
        wherry.load(path)


# ---- ONNX


def onnx_layer(op, directions, gates, path, shape=X.shape, lengths=None, **attributes):
    """A file of one operator with all its weights, and its input."""
    onnx = pytest.importorskip("onnx")
    helper, tensors = onnx.helper, onnx.numpy_helper
    rng = np.random.default_rng(0)
    shapes = {"w": (directions, gates * HIDDEN, IN), "r": (directions, gates * HIDDEN, HIDDEN), "b": (directions, 2 * gates * HIDDEN)}
    weights = {name: rng.standard_normal(shape).astype(np.float32) * 0.5 for name, shape in shapes.items()}
    more = []
    if lengths is not None:  # and states to begin with
        weights["lengths"] = np.full(BATCH, lengths, np.int32)
        more = ["lengths", "h0", "c0"][: 3 if op == "LSTM" else 2]
        weights |= {name: rng.standard_normal((directions, BATCH, HIDDEN)).astype(np.float32) for name in more[1:]}
    node = helper.make_node(op, ["x", "w", "r", "b", *more], ["y", "y_h"], "layer", hidden_size=HIDDEN, **attributes)
    one = onnx.TensorProto.FLOAT
    ports = [helper.make_tensor_value_info(n, one, s) for n, s in (("x", list(shape)), ("y", None), ("y_h", None))]
    graph = helper.make_graph([node], "g", ports[:1], ports[1:], [tensors.from_array(a, n) for n, a in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8), path)
    return X.numpy()


@pytest.mark.parametrize("op, gates", [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_onnx(op, gates, direction, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    x = onnx_layer(op, 2 if direction == "bidirectional" else 1, gates, tmp_path / "m.onnx", direction=direction)
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    compare(wherry.load(tmp_path / "m.onnx").run([x]), session.run(None, {"x": x}))


@pytest.mark.parametrize("op, gates", [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_onnx_lengths_and_states(op, gates, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    x = onnx_layer(op, 2, gates, tmp_path / "m.onnx", lengths=STEPS, direction="bidirectional")
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    compare(wherry.load(tmp_path / "m.onnx").run([x]), session.run(None, {"x": x}))
    onnx_layer(op, 1, gates, tmp_path / "m.onnx", lengths=STEPS - 1)
    with pytest.raises(wherry.WherryError, match="a sequence of 2 among 3 steps"):
        wherry.load(tmp_path / "m.onnx")


def test_onnx_gru_resets_after_the_product(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    x = onnx_layer("GRU", 1, 3, tmp_path / "m.onnx", linear_before_reset=1)
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    compare(wherry.load(tmp_path / "m.onnx").run([x]), session.run(None, {"x": x}))


def test_onnx_activations(tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    x = onnx_layer("RNN", 2, 1, tmp_path / "m.onnx", direction="bidirectional", activations=["Relu", "Sigmoid"])
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    compare(wherry.load(tmp_path / "m.onnx").run([x]), session.run(None, {"x": x}))


@pytest.mark.parametrize("op, gates", [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_onnx_open_batch(op, gates, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    x = onnx_layer(op, 2, gates, tmp_path / "m.onnx", shape=[STEPS, "batch", IN], direction="bidirectional")
    session = runtime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    compare(wherry.load(tmp_path / "m.onnx", dims={"batch": BATCH}).run([x]), session.run(None, {"x": x}))
    assert "batch" in wherry.load(tmp_path / "m.onnx").outputs[0][1]


def test_onnx_open_time_steps_are_refused(tmp_path):
    onnx_layer("RNN", 1, 1, tmp_path / "m.onnx", shape=["time", BATCH, IN])
    with pytest.raises(wherry.WherryError, match="--dim time"):
        wherry.load(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "attributes, message", [({"clip": 1.0}, "with clip"), ({"activations": ["Softsign"]}, "with the activation 'Softsign'")]
)
def test_onnx_refuses(attributes, message, tmp_path):
    onnx_layer("RNN", 1, 1, tmp_path / "m.onnx", **attributes)
    with pytest.raises(wherry.WherryError, match=message):
        wherry.load(tmp_path / "m.onnx")
