"""Exported programs read back: the reference evaluation of each import against PyTorch, names, and what is refused."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
wherry = pytest.importorskip("wherry")
nn, functional = torch.nn, torch.nn.functional
BATCH = torch.export.Dim("batch", min=2, max=512)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(7)


def export(module, args, path, kwargs=None, **options):
    program = torch.export.export(module.eval(), args, kwargs or {}, **options)
    torch.export.save(program, path)
    return path


def flat(tree):
    leaves = torch.utils._pytree.tree_leaves(tree)
    return [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]


def cloned(tree):
    return torch.utils._pytree.tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, tree)


def same_as_torch(module, args, path, kwargs=None, dims=None, **options):
    export(module, args, path, kwargs, **options)
    model = wherry.load(path, **({"dims": dims} if dims else {}))
    expected = flat(module(*cloned(args), **cloned(kwargs or {})))
    found = model.run([value.detach().numpy() for value in flat((args, kwargs or {}))])
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        theirs = theirs.detach()
        theirs = (theirs.float() if theirs.dtype == torch.bfloat16 else theirs).numpy()
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-5)
    return model


class Calls(nn.Module):
    """A module out of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def refused(module, args, path, kwargs=None, **options):
    export(module, args, path, kwargs, **options)
    with pytest.raises(wherry.WherryError) as caught:
        wherry.load(path)
    return caught.value


# ---- writes ----------------------------------------------------------------------------------------------------------

# Each is a function of x: [2, 6, 4]. It starts with a copy, since a program must not change its input.
WRITES = {}


def write(function):
    WRITES[function.__name__] = function
    return function


@write
def relu_then_use(x):
    y = x * 1.5
    z = y.relu_()
    return y + z


@write
def view_before_write(x):
    y = x + 1
    v = y.view(12, 4)
    y.mul_(2)
    return v, y


@write
def write_through_view(x):
    y = x + 1
    v = y.view(-1)
    v.add_(3)
    return y, v


@write
def write_through_transposed(x):
    y = x + 1
    y.transpose(1, 2).mul_(3)
    y.permute(2, 0, 1).add_(1)
    return y


@write
def set_column(x):
    y = x + 1
    y[:, 0] = 5.0
    return y


@write
def set_slice_from_tensor(x):
    y = x + 1
    y[:, 1:3] = x[:, 2:4] * 2
    return y


@write
def set_row_and_read_old_view(x):
    y = x + 1
    row = y[1]
    corner = row[2:, 1:3]
    y[1, 2] = 0.25
    return row, corner, y


@write
def write_through_chain(x):
    y = x + 1
    y[:, 1:4].transpose(1, 2)[:, :, 0].mul_(10)
    return y


@write
def two_windows(x):
    y = x + 1
    a, b = y[:, :4], y[:, 2:]
    a.mul_(2)
    b.add_(1)
    a.sub_(3)
    return a, b, y


@write
def write_into_split(x):
    y = x + 1
    a, b, c = y.split([1, 2, 3], dim=1)
    b.mul_(7)
    return a, b, c, y


@write
def write_into_chunk(x):
    y = x + 1
    a, b = y.chunk(2, dim=2)
    a.add_(b)
    return a, y


@write
def write_into_unbind(x):
    y = x + 1
    first, *_ = y.unbind(1)
    first.neg_()
    return y


@write
def unsqueeze_write(x):
    y = x + 1
    y.unsqueeze(0).mul_(2)
    y[:, :1].squeeze(1).add_(1)
    return y


@write
def copy_into(x):
    y = x + 1
    y.copy_(x[:1])
    return y


@write
def copy_casts(x):
    y = x + 1
    y.copy_(torch.arange(4))
    return y


@write
def zero_and_fill(x):
    y, z = x + 1, x + 2
    y[:, 2].zero_()
    z[0].fill_(3)
    return y, z


@write
def clamps(x):
    y = x * 3
    functional.hardtanh_(y, -1.5, 1.5)
    y.clamp_(min=-1)
    return y


@write
def masked(x):
    y = x + 0.5
    y.masked_fill_(x > 0, -1.0)
    return y


@write
def copies_are_not_views(x):
    y = x + 1
    a, b, c = y.clone(), y[:, 1:].contiguous(), y * 1
    y.mul_(2)
    return a, b, c, y


@write
def detached_is_a_view(x):
    y = x + 1
    d = y.detach()
    y.mul_(2)
    return d


@write
def negative_indices(x):
    y = x + 1
    y[-1, -2:, -3] = 9.0
    return y


@write
def own_square(x):
    y = x + 1
    y.mul_(y)
    return y


@write
def half_onto_half(x):
    y = x + 1
    y[:, :3] = y[:, 3:] * 1
    y[:, 3:].add_(y[:, :3])
    return y


@write
def dropout_is_its_argument(x):
    y = x + 1
    z = functional.dropout(y, 0.5, training=False)
    z.mul_(2)
    return y, z


@write
def reshape_of_contiguous_is_a_view(x):
    y = x + 1
    y.reshape(-1).add_(1)
    torch.flatten(y, 1).mul_(2)
    z = y.transpose(1, 2)
    z.reshape(-1).add_(100)
    return y.to(torch.float32).mul_(3), y


@pytest.mark.parametrize("name", WRITES)
def test_writes_are_functional(name, tmp_path):
    same_as_torch(Calls(WRITES[name]), (torch.randn(2, 6, 4),), tmp_path / "m.pt2")


def test_no_write_is_left(tmp_path):
    model = same_as_torch(Calls(write_through_chain), (torch.randn(2, 6, 4),), tmp_path / "m.pt2")
    assert [name for name, _ in model.outputs] == ["output"]


def test_write_between_maybe_views_is_refused(tmp_path):
    def function(x):
        y = x + 1
        r = y.transpose(1, 2).reshape(x.size(0), -1)  # of a symbolic shape: the file does not say whether it is a copy
        y.add_(1)
        return r + 1, y

    error = refused(Calls(function), (torch.randn(3, 6, 4),), tmp_path / "m.pt2", dynamic_shapes=(({0: BATCH},),))
    assert [d["code"] for d in error.diagnostics] == ["E204"]
    assert "clone" in error.diagnostics[0]["next"]


def test_write_over_its_own_argument_is_refused(tmp_path):
    def function(x):
        y = x + 1
        return y.add_(y[:, :1])

    error = refused(Calls(function), (torch.randn(3, 4),), tmp_path / "m.pt2")
    assert [d["code"] for d in error.diagnostics] == ["E204"]


def test_write_to_a_diagonal_is_refused(tmp_path):
    def function(x):
        y = x + 1
        y.diagonal().zero_()
        return y

    error = refused(Calls(function), (torch.randn(3, 4),), tmp_path / "m.pt2")
    assert {d["code"] for d in error.diagnostics} == {"E204"}
    assert "test_import.py" in error.diagnostics[0]["at"]


def test_changed_input_is_refused(tmp_path):
    error = refused(Calls(lambda x: x.relu_()), (torch.randn(3),), tmp_path / "m.pt2")
    assert error.diagnostics[0]["code"] == "E204" and "the input" in error.diagnostics[0]["message"]


def test_changed_buffer_is_refused(tmp_path):
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))

        def forward(self, x):
            self.seen.add_(1)
            return x + self.seen

    error = refused(Counter(), (torch.randn(3),), tmp_path / "m.pt2")
    assert error.diagnostics[0]["code"] == "E204" and "'seen'" in error.diagnostics[0]["message"]


# ---- weights ---------------------------------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x))


def test_tied_weights_stay_one(tmp_path):
    model = same_as_torch(Tied(), (torch.randn(2, 4),), tmp_path / "m.pt2")
    assert sorted(model.weights()) == ["first.bias", "first.weight", "second.bias"]


class Strided(nn.Module):
    """Weights that are windows on one storage, with offsets, steps and transposed axes."""

    def __init__(self):
        super().__init__()
        base = torch.randn(6, 10)
        self.a = nn.Parameter(base[1:3, 2:6])
        self.b = nn.Parameter(base.t()[2:6, :2])
        self.register_buffer("c", base[:, 3], persistent=False)
        self.register_buffer("d", base[0, ::3])
        self.register_buffer("e", torch.tensor(2.5))
        self.register_buffer("f", torch.randn(1, 4).expand(3, 4))

    def forward(self, x):
        return x @ self.a.t(), x @ self.b, x * self.d + self.e, self.f + x[0], self.c * 2


def test_strided_weights(tmp_path):
    same_as_torch(Strided(), (torch.randn(3, 4),), tmp_path / "m.pt2")


DTYPES = ["float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_of_every_dtype(dtype, tmp_path):
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("b", (torch.randn(2, 3) * 5).to(getattr(torch, dtype)))

        def forward(self, x):
            return x + self.b.to(torch.float32)

    same_as_torch(Adds(), (torch.randn(2, 3),), tmp_path / "m.pt2")


@pytest.mark.parametrize("strict", [False, True])
def test_lifted_constants(strict, tmp_path):
    def function(x):
        return x * torch.tensor([1.0, -2.0, 3.0]) + torch.arange(3) + 0.5

    same_as_torch(Calls(function), (torch.randn(2, 3),), tmp_path / "m.pt2", strict=strict)


def test_unused_weights_vanish(tmp_path):
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            self.unused(x)
            return self.used(x)

    model = same_as_torch(Unused(), (torch.randn(2, 3),), tmp_path / "m.pt2")
    assert sorted(model.weights()) == ["used.bias", "used.weight"]


# ---- inputs and outputs ----------------------------------------------------------------------------------------------


def test_nested_names(tmp_path):
    class Nested(nn.Module):
        def forward(self, x, pair, *, batch):
            y = pair[0] + pair[1] + batch["image"] * x
            return {"logits": y, "parts": (y + 1, [y * 2, None])}

    args = (torch.randn(3), (torch.randn(3), torch.randn(3)))
    model = same_as_torch(Nested(), args, tmp_path / "m.pt2", kwargs={"batch": {"image": torch.randn(3)}})
    assert [name for name, _ in model.inputs] == ["x", "pair.0", "pair.1", "batch.image"]
    assert [name for name, _ in model.outputs] == ["logits", "parts.0", "parts.1.0"]


def test_tuple_of_outputs(tmp_path):
    model = same_as_torch(Calls(lambda x: (x + 1, x, x + 1)), (torch.randn(3),), tmp_path / "m.pt2")
    assert [name for name, _ in model.outputs] == ["output_0", "output_1", "output_2"]


def test_none_and_fixed_inputs(tmp_path):
    class Optional(nn.Module):
        def forward(self, x, mask=None, scale=2):
            return x * scale if mask is None else x * mask

    model = same_as_torch(Optional(), (torch.randn(3), None, 3), tmp_path / "m.pt2")
    assert model.inputs == [("x", "float32[3]")]


def test_number_as_output_is_refused(tmp_path):
    error = refused(Calls(lambda x: (x + 1, 5)), (torch.randn(3),), tmp_path / "m.pt2")
    assert error.diagnostics[0]["code"] == "E203" and "output_1" in error.diagnostics[0]["message"]


def test_weight_as_output(tmp_path):
    class Gives(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.randn(3))

        def forward(self, x):
            return x + self.w, self.w

    same_as_torch(Gives(), (torch.randn(3),), tmp_path / "m.pt2")


def test_name_is_the_archives(tmp_path):
    assert same_as_torch(nn.ReLU(), (torch.randn(3),), tmp_path / "net_7.pt2").name == "net_7"


# ---- symbolic sizes --------------------------------------------------------------------------------------------------

SYMBOLIC = {
    "view": lambda x: x.view(x.size(0), -1),
    "view_all": lambda x: x.view(x.size(0), x.size(1) * x.size(2)),
    "reshape_mixed": lambda x: x.reshape(x.shape[0] * 2, -1),
    "flatten": lambda x: torch.flatten(x, 1),
    "expand": lambda x: x[:, :1].expand(x.size(0), 6, 4),
    "slice_whole": lambda x: x[: x.size(0)] + 1,
    "cat": lambda x: torch.cat([x, x * 2], 0),
    "write": lambda x: (x + 1).mul_(2).view(x.size(0), 24),
    "pieces": lambda x: x.mean(1) + x.sum(1),
}


def first_symbol(model):
    return model.inputs[0][1].split("[")[1].split(",")[0]


@pytest.mark.parametrize("name", SYMBOLIC)
def test_symbolic_batch(name, tmp_path):
    module, x = Calls(SYMBOLIC[name]), torch.randn(3, 6, 4)
    path = export(module, (x,), tmp_path / "m.pt2", dynamic_shapes=(({0: BATCH},),))
    symbol = first_symbol(wherry.load(path))
    assert symbol.isidentifier()
    for batch in (2, 5):
        value = torch.randn(batch, 6, 4)
        found = wherry.load(path, dims={symbol: batch}).run([value.numpy()])[0]
        np.testing.assert_allclose(found, module(value).numpy(), rtol=1e-5, atol=1e-6)


def test_symbolic_convolution(tmp_path):
    height = torch.export.Dim("height", min=8, max=256)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    path = export(net, (torch.randn(1, 3, 32, 32),), tmp_path / "m.pt2", dynamic_shapes=({2: height},))
    symbol = wherry.load(path).inputs[0][1].split(", ")[2]
    value = torch.randn(1, 3, 47, 32)
    found = wherry.load(path, dims={symbol: 47}).run([value.numpy()])[0]
    np.testing.assert_allclose(found, net(value).detach().numpy(), rtol=1e-5, atol=1e-6)


# ---- modules ---------------------------------------------------------------------------------------------------------


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.conv(x)) + x


class Repeated(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.block(self.block(self.relu(x))) * 2 + 1)


def paths(tree, prefix=""):
    for layer in tree.get("layers", tree.get("children", [])):
        yield layer.get("path", layer.get("name"))
        yield from paths(layer)


@pytest.mark.parametrize("strict", [False, True])
def test_repeated_modules(strict, tmp_path):
    model = same_as_torch(Repeated(), (torch.randn(1, 4, 5, 5),), tmp_path / "m.pt2", strict=strict)
    assert sorted(model.weights()) == ["block.conv.bias", "block.conv.weight"]
    layers = list(model.layers([np.zeros((1, 4, 5, 5), np.float32)]))
    assert layers == ["relu", "block.conv", "block.act", "block.add", "block_1.conv", "block_1.act", "block_1.add", "mul", "add", "relu_1"]


def test_no_grad_region(tmp_path):
    def function(x):
        y = x * 2
        with torch.no_grad():
            z = y + 1
            w = z.relu()
        return w + y

    same_as_torch(Calls(function), (torch.randn(3),), tmp_path / "m.pt2")


def test_decomposed_program(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 2))
    x = torch.randn(1, 3, 8, 8)
    program = torch.export.export(net.eval(), (x,)).run_decompositions({})
    torch.export.save(program, tmp_path / "m.pt2")
    found = wherry.load(tmp_path / "m.pt2").run([x.numpy()])[0]
    np.testing.assert_allclose(found, net(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_filled_tensors_of_an_open_size(tmp_path):
    def function(x):
        return torch.zeros(2, x.shape[0], 3) + 1, torch.full((x.shape[0], 1), 5), torch.ones_like(x) * x

    x = torch.randn(3, 4)
    path = export(Calls(function), (x,), tmp_path / "m.pt2", dynamic_shapes=(({0: BATCH},),))
    symbol = wherry.load(path).inputs[0][1].split("[")[1].split(",")[0]
    found = wherry.load(path, dims={symbol: 3}).run([x.numpy()])
    for ours, theirs in zip(found, function(x), strict=True):
        assert ours.dtype == theirs.numpy().dtype
        np.testing.assert_array_equal(ours, theirs.numpy())


class Everyday(nn.Module):
    """What the core ATen operators write in another way than torch.export does."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.Hardswish(), nn.GroupNorm(2, 8), nn.InstanceNorm2d(8))
        self.up = nn.Sequential(nn.ConvTranspose2d(8, 4, 2, 2, groups=2), nn.MaxPool2d(2), nn.Hardsigmoid(), nn.Dropout(0.5))
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        y = self.up(self.stem(x))
        y[:, 1] = 0.5
        tokens = self.norm(y.flatten(2).transpose(1, 2))
        tokens = functional.scaled_dot_product_attention(tokens, tokens, tokens)
        return tokens.logsumexp(1), functional.adaptive_avg_pool2d(y, 1), functional.interpolate(y, scale_factor=2.0, mode="bilinear")


def test_core_aten_program(tmp_path):
    net, x = Everyday().eval(), torch.randn(1, 3, 8, 8)
    program = torch.export.export(net, (x,)).run_decompositions()
    assert any(str(node.target) == "aten.convolution.default" for node in program.graph.nodes)
    torch.export.save(program, tmp_path / "m.pt2")
    for found, expected in zip(wherry.load(tmp_path / "m.pt2").run([x.numpy()]), net(x), strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-4, atol=1e-5)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(batch, length, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        scores = (q @ k.transpose(-2, -1) * 0.5).softmax(-1)
        return x + self.out((scores @ v).transpose(1, 2).reshape(batch, length, width))


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))

    def forward(self, x):
        a, b = x.chunk(2, 1)
        y = torch.cat([a, self.branch(b)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


class Conv(nn.Module):
    """An input of the name of a layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, conv):
        return self.conv(conv) * 2


NETS = {
    "attention": (Attention(), (2, 5, 16)),
    "multihead": (nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), (2, 5, 16)),
    "shuffle": (Shuffle(), (1, 8, 6, 6)),
    "input_named_as_layer": (Conv(), (1, 3, 2, 2)),
    "channels_last": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(True), nn.Flatten()).to(memory_format=torch.channels_last), (1, 3, 8, 8)),
    "indexing": (Calls(lambda x: (x[..., ::2], x[:, [0, 2]], x[0, 1:], x.flip(1), x[None].squeeze(0))), (2, 3, 4)),
}


@pytest.mark.parametrize("name", NETS)
def test_networks(name, tmp_path):
    module, shape = NETS[name]
    same_as_torch(module, (torch.randn(shape),), tmp_path / "m.pt2")


# ---- refused operators -----------------------------------------------------------------------------------------------


def test_all_unknown_operators_at_once(tmp_path):
    def function(x):
        y = torch.special.bessel_j0(x) + torch.special.bessel_j0(x + 1)
        return torch.relu(torch.logcumsumexp(y, 0)) * 2

    error = refused(Calls(function), (torch.rand(4),), tmp_path / "m.pt2")
    assert [d["code"] for d in error.diagnostics] == ["E201", "E201"]
    first, second = error.diagnostics
    assert "aten.special_bessel_j0.default" in first["message"] and "2 uses" in first["message"]
    assert "test_import.py" in first["at"] and "float32[4]" in first["in"] and "adding-an-operator" in first["next"]
    assert "aten.logcumsumexp.default" in second["message"] and "1 use" in second["message"]


def test_training_mode_names_eval(tmp_path):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    program = torch.export.export(net.train(), (torch.randn(2, 3, 8, 8),))
    torch.export.save(program, tmp_path / "m.pt2")
    with pytest.raises(wherry.WherryError) as caught:
        wherry.load(tmp_path / "m.pt2")
    assert "E203" in {d["code"] for d in caught.value.diagnostics}
    assert "eval()" in str(caught.value)
