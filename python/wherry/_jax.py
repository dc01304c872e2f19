"""JAX: a model as a function and a tree of parameters."""

from collections.abc import Callable
from typing import Any

import numpy as np

from wherry._source import executed, needed


def to_jax(model: Any) -> tuple[Callable[..., Any], Any]:
    """(apply, params): apply(params, x) can be jitted and differentiated. Statistics of batch norm are parameters without gradient."""
    jax = needed("jax", "jax", "to_jax()")
    needed("jax", "safetensors", "to_jax()")
    code, entry = model.source("jax")
    names = executed(code, f"{model.name}.py")
    block, arrays = getattr(names, entry)(), model.weights()
    shapes = jax.eval_shape(block.init, jax.random.key(0))
    values = [jax.numpy.asarray(np.array(arrays[key])) for key in names.named(shapes)]
    return block.apply, jax.tree_util.tree_structure(shapes).unflatten(values)
