// Definitions that several operators' source texts use. An operator's own stand in its file.
#pragma once

#include <string_view>

namespace wherry::ops::jax {

inline constexpr std::string_view each_axis = R"(
def each_axis(value, axes):
    """One number for each axis: a number stands for all."""
    return (value,) * axes if isinstance(value, int | float) else tuple(value)
)";

inline constexpr std::string_view sides = R"(
def sides(padding, axes):
    """Before and after each axis; a number may stand for all, or for both sides."""
    numbers = each_axis(padding, axes)
    if len(numbers) == axes:
        return [(n, n) for n in numbers]
    return list(zip(numbers[::2], numbers[1::2], strict=True))
)";

inline constexpr std::string_view uniform = R"(
def uniform(key, shape, fan_in):
    """PyTorch's initial weights."""
    bound = 1 / math.sqrt(max(fan_in, 1))
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)
)";

inline constexpr std::string_view shifted = R"(
def shifted(y, bias):
    """y with a number added to each channel."""
    return y if bias is None else y + bias.reshape(-1, *(1,) * (y.ndim - 2))
)";

inline constexpr std::string_view affine_init = R"(
def affine_init(shape, affine=True, bias=True):
    """A scale of ones and an offset of zeros."""
    params = {"weight": jnp.ones(shape)} if affine else {}
    if affine and bias:
        params["bias"] = jnp.zeros(shape)
    return params
)";

}  // namespace wherry::ops::jax

namespace wherry::ops::torch_text {

inline constexpr std::string_view without = R"(
def without(module, *names):
    """The module without these weights."""
    for name in names:
        module.register_parameter(name, None)
    return module
)";

}  // namespace wherry::ops::torch_text
