"""PyTorch functions as torch.export leaves them, read back: the reference evaluation of each against PyTorch."""

import pytest

torch = pytest.importorskip("torch")
wherry = pytest.importorskip("wherry")
import numpy as np  # noqa: E402

nn, F = torch.nn, torch.nn.functional


def floats(*sizes):
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(sum(sizes) + 1))


def above(*sizes):
    return floats(*sizes).abs() + 0.1


def ints(*sizes, high=4):
    return torch.randint(0, high, sizes, generator=torch.Generator().manual_seed(sum(sizes)))


X = floats(2, 6, 4, 5)

# Functions of one float tensor [2, 6, 4, 5].
UNARY = {
    "relu": F.relu,
    "relu_": lambda x: F.relu(x + 0, inplace=True),
    "relu6": F.relu6,
    "relu6_": lambda x: F.relu6(x * 4, inplace=True),
    "relu6_module": nn.ReLU6(),
    "hardtanh": lambda x: F.hardtanh(x, -0.5, 0.7),
    "hardtanh_": lambda x: F.hardtanh(x + 0, inplace=True),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "clamp_none": lambda x: x.clamp(max=0.5),
    "clamp_": lambda x: (x + 0).clamp_(0, 1),
    "clamp_min": lambda x: x.clamp_min(0.1),
    "clamp_max": lambda x: torch.clamp_max(x, 0.1),
    "clip": lambda x: torch.clip(x, -1, 1),
    "clamp_tensor": lambda x: torch.clamp(x, min=x.mean(), max=x * 0 + 1),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "leaky_relu_": lambda x: F.leaky_relu(x + 0, 0.1, inplace=True),
    "elu": lambda x: F.elu(x, 0.7),
    "selu": F.selu,
    "celu": lambda x: F.celu(x, 0.5),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "silu_": lambda x: F.silu(x + 0, inplace=True),
    "mish": F.mish,
    "glu": lambda x: F.glu(x, 1),
    "tril": lambda x: x.tril(),
    "triu": lambda x: torch.triu(x, 1),
    "interleave": lambda x: x.repeat_interleave(2, dim=1),
    "vstack": lambda x: torch.vstack((x, x)),
    "hardswish": F.hardswish,
    "hardswish_": lambda x: F.hardswish(x + 0, inplace=True),
    "hardsigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "log_sigmoid": F.logsigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "softplus_beta": lambda x: F.softplus(x, 2, 1),
    "softsign": F.softsign,
    "exp": torch.exp,
    "abs": torch.abs,
    "neg": lambda x: -x,
    "square": torch.square,
    "sin": torch.sin,
    "cos": torch.cos,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "sign": torch.sign,
    "erf": torch.erf,
    "log": lambda x: torch.log(x.abs()),
    "sqrt": lambda x: torch.sqrt(x.abs()),
    "rsqrt": lambda x: torch.rsqrt(x.abs() + 1),
    "reciprocal": lambda x: torch.reciprocal(x.abs() + 1),
    "logical_not": lambda x: torch.logical_not(x > 0),
    "bitwise_not": lambda x: ~(x > 0),
    "softmax": lambda x: F.softmax(x, dim=1),
    "softmax_dtype": lambda x: F.softmax(x, -1, dtype=torch.float32),
    "log_softmax": lambda x: F.log_softmax(x, 1),
    "dropout": lambda x: F.dropout(x, 0.3, training=False),
    "dropout2d": lambda x: F.dropout2d(x, training=False),
    "alpha_dropout": lambda x: F.alpha_dropout(x, training=False),
    "clone": lambda x: x.clone() + 1,
    "contiguous": lambda x: x.transpose(1, 2).contiguous(),
    "detach": lambda x: x.detach() * 2,
    # scalars on either side
    "add_int": lambda x: x + 1,
    "radd": lambda x: 1.5 + x,
    "sub_scalar": lambda x: x - 2,
    "rsub": lambda x: 1 - x,
    "mul_scalar": lambda x: x * 0.5,
    "div_scalar": lambda x: x / 3,
    "rdiv": lambda x: 1 / (x.abs() + 1),
    "pow2": lambda x: x**2,
    "pow_half": lambda x: x.abs() ** 0.5,
    "rpow": lambda x: 2**x,
    "floordiv": lambda x: x // 0.3,
    "mod": lambda x: x % 0.7,
    "add_alpha": lambda x: torch.add(x, x, alpha=2),
    "sub_alpha": lambda x: torch.sub(x, x * x, alpha=0.5),
    "add_": lambda x: (x * 1).add_(2),
    "mul_": lambda x: (x + 1).mul_(x),
    "sub_": lambda x: (x + 1).sub_(x),
    "div_": lambda x: (x + 1).div_(2),
    "div_floor": lambda x: torch.div(x, 0.4, rounding_mode="floor"),
    "div_trunc": lambda x: torch.div(x, x.abs() + 0.4, rounding_mode="trunc"),
    "compare": lambda x: (x > 0.1, x >= x, x < 0, x <= 0.5, x == x, x != 0),
    "where": lambda x: torch.where(x > 0, x, 0.5 * x),
    "where_scalar": lambda x: torch.where(x > 0, x, -1.0),
    "where_scalars": lambda x: torch.where(x > 0, 1.0, 0.0),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0.25),
    "logical": lambda x: torch.logical_and(x > 0, x < 1) | (x > 2) ^ (x < -2),
    # reductions
    "mean": lambda x: x.mean((2, 3), keepdim=True),
    "mean_all": lambda x: x.mean(),
    "mean_dim": lambda x: x.mean(-1),
    "sum": lambda x: x.sum(1),
    "sum_all": lambda x: x.sum(),
    "sum_bool": lambda x: (x > 0).sum(1),
    "amax": lambda x: x.amax((2, 3)),
    "amin": lambda x: x.amin(1, keepdim=True),
    "max_all": lambda x: x.max(),
    "min_all": lambda x: x.min(),
    "max_dim": lambda x: x.max(1)[0],
    "min_dim": lambda x: x.min(dim=2, keepdim=True).values,
    "prod": lambda x: x.prod(1),
    "var": lambda x: x.var((2, 3)),
    "var_biased": lambda x: x.var(1, unbiased=False, keepdim=True),
    "std": lambda x: x.std(-1),
    "norm": lambda x: torch.norm(x, dim=1),
    "vector_norm": lambda x: torch.linalg.vector_norm(x, dim=1, keepdim=True),
    "normalize": lambda x: F.normalize(x, dim=1),
    "argmax": lambda x: x.argmax(1),
    "argmax_all": lambda x: torch.argmax(x),
    "argmin": lambda x: x.argmin(-1, keepdim=True),
    "cumsum": lambda x: x.cumsum(1),
    # shapes
    "view": lambda x: x.view(2, 6, 20),
    "view_open": lambda x: x.view(x.size(0), -1),
    "reshape": lambda x: x.reshape(-1, 5),
    "flatten": lambda x: torch.flatten(x, 1),
    "flatten_module": nn.Flatten(),
    "unflatten": lambda x: x.unflatten(1, (2, 3)),
    "permute": lambda x: x.permute(0, 2, 3, 1),
    "transpose": lambda x: x.transpose(1, -1),
    "t": lambda x: x[0, 0].t(),
    "mT": lambda x: x.mT,
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "movedim": lambda x: x.movedim(1, -1),
    "movedim_list": lambda x: x.movedim((0, 1), (2, 0)),
    "squeeze": lambda x: x[:1, :, :1].squeeze(),
    "squeeze_dim": lambda x: x[:1].squeeze(0),
    "squeeze_dims": lambda x: x[:1, :1].squeeze((0, 1)),
    "unsqueeze": lambda x: x.unsqueeze(-1),
    "expand": lambda x: x[:, :1].expand(-1, 3, -1, -1),
    "expand_as": lambda x: x[:, :1].expand_as(x),
    "broadcast_to": lambda x: torch.broadcast_to(x[0, 0], (3, 4, 5)),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "tile": lambda x: torch.tile(x, (2, 1)),
    "flip": lambda x: x.flip(2, 3),
    "roll": lambda x: x.roll((1, -2), (2, 3)),
    "roll_flat": lambda x: torch.roll(x, 3),
    "view_as": lambda x: x.view_as(x.transpose(0, 1).transpose(0, 1)),
    "reshape_as": lambda x: x.reshape_as(x.flatten(2).transpose(1, 2)),
    # parts
    "slice": lambda x: x[:, 1:5:2, -3:],
    "slice_from_end": lambda x: x[:, :-1],
    "select": lambda x: x[:, 2],
    "select_last": lambda x: x[..., -1],
    "narrow": lambda x: x.narrow(1, 1, 3),
    "split": lambda x: x.split(2, 1),
    "split_sizes": lambda x: torch.split(x, [1, 2, 3], 1),
    "chunk": lambda x: x.chunk(2, 1),
    "chunk_uneven": lambda x: torch.chunk(x, 4, 3),
    "unbind": lambda x: torch.unbind(x, 2),
    "split_first": lambda x: x.split(4, 1)[0],
    "index_constant": lambda x: x[:, [0, 2, -1]],
    "index_select": lambda x: x.index_select(1, torch.tensor([3, 0])),
    "ellipsis_none": lambda x: x[:, None, ..., 0],
    # joins
    "cat": lambda x: torch.cat([x, x * 2], 1),
    "concat": lambda x: torch.concat((x, x), -1),
    "stack": lambda x: torch.stack([x, -x], 2),
    "hstack": lambda x: torch.hstack((x, x)),
    # types and new tensors
    "to_float": lambda x: x.to(torch.float32),
    "to_int": lambda x: (x * 4).to(torch.int64),
    "float": lambda x: (x > 0).float(),
    "type_as": lambda x: (x > 0).type_as(x),
    "long_add": lambda x: x + (x > 0).long(),
    "zeros_like": lambda x: torch.zeros_like(x) + x,
    "ones": lambda x: torch.ones(5) * x,
    "full": lambda x: x + torch.full((5,), 2.5),
    "new_zeros": lambda x: x.new_zeros(4, 5) + x,
    "arange": lambda x: x * torch.arange(5),
    "arange_step": lambda x: x + torch.arange(0, 2.5, 0.5),
    "full_like": lambda x: torch.full_like(x, 3) * x,
    "new_ones": lambda x: x.new_ones(5) - x,
    "new_full": lambda x: x.new_full((5,), 7.0) + x,
    "scalar_tensor": lambda x: x * torch.tensor(2.0),
    # matrices
    "matmul": lambda x: x @ x.transpose(-1, -2),
    "bmm": lambda x: torch.bmm(x[:, 0], x[:, 1].mT),
    "mm": lambda x: torch.mm(x[0, 0], x[0, 1].t()),
    "mv": lambda x: x[0, 0] @ x[0, 1, 0],
    "dot": lambda x: torch.dot(x[0, 0, 0], x[0, 1, 0]),
    "addmm": lambda x: torch.addmm(x[0, 0], x[0, 1], x[0, 2].mT @ x[0, 3], beta=0.5, alpha=2),
    "baddbmm": lambda x: torch.baddbmm(x[:, 0, :, :4], x[:, 1], x[:, 2].mT),
    "attention": lambda x: F.scaled_dot_product_attention(x, x * 2, x + 1),
    "attention_causal": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "attention_mask": lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=torch.ones(4, 4).tril().bool()),
}

# Functions of several tensors.
MANY = {
    "add": (torch.add, (X, floats(6, 1, 1))),
    "mul": (torch.mul, (X, floats(5))),
    "sub": (torch.sub, (X, X.flip(0))),
    "div": (torch.div, (X, above(6, 1, 1))),
    "maximum": (torch.maximum, (X, floats(5))),
    "minimum": (torch.minimum, (X, floats(5))),
    "max_other": (lambda a, b: torch.max(a, b), (X, floats(5))),
    "min_other": (lambda a, b: torch.min(a, b), (X, floats(5))),
    "pow": (torch.pow, (above(3, 4), floats(4))),
    "int_div": (lambda a, b: a / b, (ints(3, 4), ints(4) + 1)),
    "int_floordiv": (lambda a, b: a // b, (ints(3, 4) - 2, ints(4) + 1)),
    "remainder": (torch.remainder, (ints(3, 4) - 2, ints(4) + 1)),
    "int_float": (lambda a, b: a + b, (ints(3, 4), floats(4))),
    "int_fraction": (lambda a: a * 0.5, (ints(3, 4),)),
    "gather": (lambda a, i: a.gather(1, i), (floats(3, 4), ints(3, 2))),
    "index": (lambda a, i: a[i], (floats(4, 3), ints(5))),
    "index_2d": (lambda a, i: a[:, i], (floats(3, 4), ints(2, 2))),
    "embedding": (F.embedding, (ints(2, 3), floats(4, 5))),
    "where": (torch.where, (ints(3, 4) > 1, floats(3, 4), floats(4))),
    "masked_fill": (lambda a, m: a.masked_fill(m > 1, float("-inf")), (floats(3, 4), ints(3, 4))),
    "prelu": (F.prelu, (X, floats(6))),
    "prelu_one": (F.prelu, (X, floats(1))),
    "cat_empty": (lambda a, b: torch.cat([a, b]), (floats(2, 3), floats(1, 3))),
    "linear_norm": (lambda a, w: F.linear(a, w) / w.norm(dim=1), (floats(3, 4), floats(5, 4))),
}


class Calls(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def check(function, args, path, **options):
    program = torch.export.export(Calls(function).eval(), tuple(a.clone() for a in args), **options)
    torch.export.save(program, path)
    expected = function(*(a.clone() for a in args))
    expected = [expected] if isinstance(expected, torch.Tensor) else list(expected)
    found = wherry.load(path).run([a.numpy() for a in args])
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == tuple(theirs.shape)
        assert ours.dtype == theirs.numpy().dtype
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", UNARY)
def test_of_one_tensor(name, tmp_path):
    check(UNARY[name], (X,), tmp_path / "m.pt2")


@pytest.mark.parametrize("name", MANY)
def test_of_several_tensors(name, tmp_path):
    check(*MANY[name], tmp_path / "m.pt2")
