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


def set_by_mask(x):
    x[x > 0.5] = 2.0
    x[x[:, :, 0, 0] < 0] = 1.0
    return x


def set_apart(x, values):
    x[[1, 0], :, [2, 3]] = values
    return x


def set_parts(x):
    x[:, 1] = 0
    x[:, 2:4] += 1
    x[..., ::2] *= 2
    x[:, 4:, 1:].mul_(x[:, 4:, 1:])
    return x


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
    "dropout_": lambda x: F.dropout(x + 0, 0.3, training=False, inplace=True),
    "log1p": lambda x: torch.log1p(x.abs() * 1e-4),
    "expm1": lambda x: torch.expm1(x * 1e-3),
    "log2": lambda x: torch.log2(x.abs() + 0.1),
    "log10": lambda x: torch.log10(x.abs() + 0.1),
    "exp2": torch.exp2,
    "trunc": torch.trunc,
    "fix": torch.fix,
    "frac": torch.frac,
    "sgn": torch.sgn,
    "erfc": torch.erfc,
    "sinc": torch.sinc,
    "deg2rad": torch.deg2rad,
    "rad2deg": torch.rad2deg,
    "logit": lambda x: torch.logit(x.sigmoid()),
    "logit_eps": lambda x: torch.logit(x, eps=0.1),
    "threshold": lambda x: F.threshold(x, 0.1, 2.0),
    "rrelu": F.rrelu,
    "isfinite": lambda x: torch.isfinite(1 / x.relu()),
    "isposinf": lambda x: torch.isposinf(1 / x.relu()),
    "isneginf": lambda x: torch.isneginf(-1 / x.relu()),
    "nan_to_num": lambda x: torch.nan_to_num(x.relu() / x.relu()),
    "nan_to_num_given": lambda x: torch.nan_to_num(1 / x.relu(), posinf=3.0),
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
    "lerp": lambda x: torch.lerp(x, x.flip(0), 0.3),
    "lerp_tensor": lambda x: torch.lerp(x, x.flip(0), x.sigmoid()),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.5),
    "addcdiv_": lambda x: (x * 1).addcdiv_(x, x.abs() + 1),
    "fmod": lambda x: torch.fmod(x, 0.7),
    "fmod_tensor": lambda x: torch.fmod(x, x.flip(0)),
    "hypot": lambda x: torch.hypot(x, x.flip(0)),
    "fmax": lambda x: torch.fmax(x, x.log()),
    "fmin": lambda x: torch.fmin(x.log(), x),
    "heaviside": lambda x: torch.heaviside(x.relu(), torch.tensor(0.5)),
    "copysign": lambda x: torch.copysign(x, -x.relu()),
    "logaddexp": lambda x: torch.logaddexp(x * 20, x.flip(0)),
    "xlogy": lambda x: torch.xlogy(x.relu(), x.abs()),
    "isclose": lambda x: torch.isclose(x, x * 1.000001),
    "bool_arithmetic": lambda x: ((x > 0) * (x < 1), (x > 1) + (x < -1)),
    "subtract": lambda x: torch.subtract(x, x * x, alpha=2),
    "divide": lambda x: torch.divide(torch.absolute(x), 2),
    "arcsin": lambda x: torch.arcsin(x.tanh()),
    "arctan2": lambda x: torch.arctan2(x, x.flip(0)),
    "greater": lambda x: (torch.greater(x, 0), torch.less_equal(x, x.flip(0))),
    "expit": torch.special.expit,
    "negative": lambda x: torch.negative(x),
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
    "norm_inf": lambda x: torch.linalg.vector_norm(x, float("inf"), dim=1),
    "norm_0": lambda x: torch.linalg.vector_norm(x.relu(), 0, dim=1),
    "norm_3": lambda x: torch.linalg.vector_norm(x, 3, dim=(1, 2)),
    "norm_all": lambda x: x.norm(),
    "matrix_norm": torch.linalg.matrix_norm,
    "var_mean": lambda x: torch.var_mean(x, 1),
    "std_mean": lambda x: torch.std_mean(x, (2, 3), correction=0, keepdim=True),
    "aminmax": lambda x: tuple(torch.aminmax(x, dim=1)),
    "any": lambda x: (x > 1).any(1),
    "any_all": lambda x: (x > 9).any(),
    "any_dims": lambda x: torch.any(x > 1, (2, 3), keepdim=True),
    "any_float": lambda x: torch.any(x.relu(), 1),
    "all": lambda x: (x > -1).all(1),
    "all_all": lambda x: (x > -9).all(),
    "count_nonzero": lambda x: torch.count_nonzero(x > 0, dim=1),
    "logsumexp": lambda x: x.logsumexp(1),
    "logsumexp_empty": lambda x: x.relu().log().logsumexp((0, 1), keepdim=True),
    "cosine_similarity": lambda x: F.cosine_similarity(x, x.flip(0), dim=1),
    "pairwise_distance": lambda x: F.pairwise_distance(x, x.flip(0)),
    "dist": lambda x: torch.dist(x, x.flip(0)),
    "batch_norm_of_batch": lambda x: F.batch_norm(x, None, None, x[0, :, 0, 0], x[1, :, 0, 0], training=True),
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
    "numpy_T": lambda x: x[0, 0].T,
    "ravel": lambda x: x.ravel(),
    "moveaxis": lambda x: x.moveaxis(0, 1),
    "adjoint": lambda x: x.adjoint(),
    "fliplr": lambda x: x.fliplr(),
    "flipud": lambda x: x.flipud(),
    "rot90": lambda x: torch.rot90(x, 1, (2, 3)),
    "rot180": lambda x: torch.rot90(x, 2, (1, 2)),
    "rot270": lambda x: torch.rot90(x, -1, (-1, 1)),
    "atleast": lambda x: (torch.atleast_1d(x.sum()), torch.atleast_2d(x[0, 0, 0]), torch.atleast_3d(x[0, 0, 0]), torch.atleast_3d(x[0, 0])),
    "meshgrid": lambda x: torch.meshgrid(x[0, 0, 0], x[0, 0, :, 0], indexing="ij"),
    "meshgrid_xy": lambda x: torch.meshgrid(x[0, 0, 0], x[0, 0, :, 0], x[0, :, 0, 0], indexing="xy"),
    "cartesian_prod": lambda x: torch.cartesian_prod(x[0, 0, 0], x[0, 0, :, 0]),
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
    "index_two": lambda x: x[:, [0, 2], [1, -1]],
    "index_two_apart": lambda x: x[[[0], [1]], :, [1, 3]],
    "index_grid": lambda x: x[:, :, torch.arange(4)[:, None], torch.arange(5)[None]],
    "index_three": lambda x: x[[0, 1], [1, 2], :, [0, 4]],
    "unfold": lambda x: x.unfold(2, 3, 1),
    "unfold_twice": lambda x: x.unfold(3, 2, 2).unfold(2, 2, 1),
    "im2col": lambda x: F.unfold(x, (3, 2), padding=(1, 0), stride=2, dilation=(1, 2)),
    "im2col_unbatched": lambda x: F.unfold(x[0], 2),
    "take": lambda x: torch.take(x, torch.tensor([[0, 5], [9, -1]])),
    "take_along": lambda x: torch.take_along_dim(x, x.argsort(1), 1),
    "take_along_wide": lambda x: torch.take_along_dim(x, torch.tensor([1, 0]).view(1, 2, 1, 1), 1),
    "take_along_flat": lambda x: torch.take_along_dim(x, torch.tensor([7, 3])),
    "tensor_split": lambda x: torch.tensor_split(x, 4, 1),
    "tensor_split_at": lambda x: torch.tensor_split(x, (1, -2), 1),
    "hsplit": lambda x: torch.hsplit(x, 2),
    "vsplit": lambda x: torch.vsplit(x, [1]),
    "dsplit": lambda x: torch.dsplit(x, 2),
    "unsafe_chunk": lambda x: torch.unsafe_chunk(x, 2, 1),
    "unsafe_split": lambda x: torch.unsafe_split(x, 4, 1),
    "narrow_copy": lambda x: torch.narrow_copy(x, 1, 1, 3),
    "diagonal": lambda x: x.diagonal(1, 2, 3),
    "diagonal_below": lambda x: x.diagonal(-2, -1, 1),
    "diag": lambda x: (torch.diag(x[0, 0], -1), torch.diag(x[0, 0, 0], 1)),
    "diag_embed": lambda x: torch.diag_embed(x[:, :, 0], -1, 0, 2),
    "trace": lambda x: x[0, 0].trace(),
    # order
    "sort": lambda x: tuple(x.sort(1)),
    "sort_descending": lambda x: tuple(torch.sort(x, dim=-1, descending=True)),
    "argsort": lambda x: x.argsort(2),
    "argsort_stable": lambda x: torch.argsort(x, dim=1, stable=True),
    "median": lambda x: tuple(x.median(1)),
    "median_all": lambda x: x.median(),
    "kthvalue": lambda x: tuple(x.kthvalue(2, 1, keepdim=True)),
    "bucketize": lambda x: torch.bucketize(x, torch.tensor([-1.0, 0.0, 1.0])),
    "bucketize_right": lambda x: torch.bucketize(x.round(), torch.tensor([-1.0, 0.0, 1.0]), right=True),
    "searchsorted": lambda x: torch.searchsorted(torch.tensor([-1.0, 0.0, 1.0]), x, out_int32=True),
    # parts that are replaced
    "select_scatter": lambda x: x.select_scatter(x[:, 0], 1, -2),
    "slice_scatter": lambda x: x.slice_scatter(x[:, :2], 1, 1, 5, 2),
    "index_copy": lambda x: x.index_copy(1, torch.tensor([4, 0]), x[:, :2]),
    "index_fill": lambda x: x.index_fill(1, torch.tensor([0, -2]), 1.5),
    "index_add": lambda x: x.index_add(1, torch.tensor([2, 0, 2]), x[:, :3], alpha=0.5),
    "index_put": lambda x: x.index_put((torch.tensor([0, 1]), torch.tensor([2, 3])), torch.ones(5)),
    "index_put_apart": lambda x: set_apart(x.clone(), x[:, :, :1, 0] * 2),
    "index_put_add": lambda x: x.index_put((torch.tensor([0, 0]), torch.tensor([2, 2])), x[0, :2], accumulate=True),
    "put_by_mask": lambda x: set_by_mask(x.clone()),
    "set_parts": lambda x: set_parts(x.clone()),
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
    "linspace": lambda x: x * torch.linspace(-1, 2, 5),
    "logspace": lambda x: x * torch.logspace(-1, 1, 5, base=2.0),
    "eye": lambda x: x @ torch.eye(5, 3),
    "tril_indices": lambda x: (x[0, 0][tuple(torch.tril_indices(4, 5, -1))], torch.triu_indices(3, 4, 1)),
    # matrices
    "outer": lambda x: torch.outer(x[0, 0, 0], x[0, 0, :, 0]),
    "addmv": lambda x: torch.addmv(x[0, 0, :, 0], x[0, 1], x[0, 0, 0], beta=0.5, alpha=2),
    "addbmm": lambda x: torch.addbmm(x[0, 0, :, :4], x[:, 1], x[:, 2].mT),
    "addr": lambda x: torch.addr(x[0, 0], x[0, 0, :, 0], x[0, 0, 0], alpha=0.5),
    "vdot": lambda x: torch.vdot(x[0, 0, 0], x[0, 1, 0]),
    "cdist": lambda x: torch.cdist(x[0], x[1, :, 1:]),
    "cross": lambda x: torch.cross(x[:, :3], x[:, 3:], dim=1),
    "linalg_cross": lambda x: torch.linalg.cross(x[..., :3], x[..., 2:]),
    "kron": lambda x: torch.kron(x[0, 0], x[0, 1, 0]),
    "tensordot": lambda x: torch.tensordot(x[0], x[1], dims=([0, 2], [0, 2])),
    "tensordot_outer": lambda x: torch.tensordot(x[0, 0], x[0, 1, 0], dims=0),
    "bilinear": lambda x: F.bilinear(x[:, 0], x[:, 1, :, :3], x[0, :, :3].mT.reshape(6, 5, 3), x[0, :, 0, 0]),
    "block_diag": lambda x: torch.block_diag(x[0, 0], x[0, 0, 0], x[0, 1, :2]),
    "affine_grid": lambda x: F.affine_grid(x[:, 0, :2, :3], (2, 3, 4, 5), align_corners=False),
    "affine_grid_corners": lambda x: F.affine_grid(x[:, 0, :2, :3], (2, 3, 4, 5), align_corners=True),
    "weight_norm": lambda x: torch._weight_norm(x[0], x[0, :, :1, :1], 0),
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
    "and_number": (lambda a: (a & 3, a.__and__(2) | 1, a ^ 1), (ints(3, 4, high=9),)),
    "int_any": (lambda a: (a.any(1), a.all()), (ints(3, 4, high=2),)),
    "int_log1p": (torch.log1p, (ints(3, 4),)),
    "int_fmod": (lambda a: torch.fmod(a - 2, 3), (ints(3, 4, high=9),)),
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
