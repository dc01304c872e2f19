"""Texts with weights under which every layer matters, for tests that compare frameworks."""

import pathlib

import numpy as np

MODELS = sorted((pathlib.Path(__file__).resolve().parents[2] / "models").glob("*.yaml"))


def lively(model, seed=0):
    """Weights that let every signal through without making rounding errors grow, and statistics of batch norms that are not 0 and 1."""
    generator = np.random.default_rng(seed)

    def drawn(key, array):
        if array.ndim > 1:
            return generator.standard_normal(array.shape, np.float32) * np.sqrt(1 / np.prod(array.shape[1:]))
        if key.endswith("running_var") or key.endswith("weight"):
            return generator.uniform(0.5, 1.5, array.shape)
        return 0.1 * generator.standard_normal(array.shape)

    return model.update({key: drawn(key, array).astype(np.float32) for key, array in model.weights().items()})


def image(model, batch=1):
    shape = [int(size) for size in model.inputs[0][1].split("[")[1].rstrip("]").split(", ")]
    return np.random.default_rng(2).standard_normal([batch, *shape[1:]], dtype=np.float32)
