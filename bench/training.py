"""One epoch of training in each framework, from one text: the loss before and after, and whether the weights come back.

    python bench/training.py [MODEL.yaml] [--frameworks PyTorch,JAX,…] [--json]

Every framework starts from the same weights and sees the same generated images once, in the same order. The loss is that of the
inference mode over all of them, before and after. Then the text takes the trained weights, is converted to .tflite, and the file
is compared with the trained network on images that it has not seen. Without MODEL.yaml a small network of MobileNetV2's blocks learns.
Each framework runs in a process of its own, because Keras chooses its backend once.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import wherry

TEXT = """
wherry: 1
name: learner
use: [vision]
model:
  inputs: {image: "float32[1, 3, 32, 32]"}
  layers:
    stem: {block: ConvBNRelu6, in: 3, out: 8, kernel: 3, stride: 2}
    body.0: {block: InvertedResidual, in: 8, out: 12, stride: 2}
    body.1: {block: InvertedResidual, in: 12, out: 12}
    pool: {op: adaptive_avg_pool2d, output_size: 1}
    flat: {op: flatten, start_dim: 1}
    fc: {op: linear, in: 12, out: 4}
  outputs: {logits: fc}
"""
BATCH, STEPS, RATE = 16, 32, 0.01

# What a framework makes of the model: a loss and outputs by batches of images, one step of training, and what holds the weights.
Learner = tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray, np.ndarray], None], Callable[[], Any]]


def batches(shape: list[int], classes: int, seed: int, steps: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Noise with a coarse pattern of its class in it."""
    patterns = np.random.default_rng(0).standard_normal((classes, shape[0], 4, 4)).astype(np.float32)
    patterns = np.kron(patterns, np.ones((1, 1, -(-shape[1] // 4), -(-shape[2] // 4)), np.float32))[:, :, : shape[1], : shape[2]]
    random = np.random.default_rng(seed)
    for _ in range(steps):
        labels = random.integers(0, classes, BATCH)
        yield random.standard_normal((BATCH, *shape), np.float32) + patterns[labels], labels


def torch_learner(model: wherry.Model) -> Learner:
    import torch

    module = model.to_torch()
    optimizer = torch.optim.Adam(module.parameters(), RATE)

    def outputs(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module.eval()(torch.from_numpy(images)).numpy()

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module.train()(torch.from_numpy(images)), torch.from_numpy(labels)).backward()
        optimizer.step()

    return outputs, step, lambda: module


def jax_learner(model: wherry.Model) -> Learner:
    import jax
    import optax

    apply, params = model.to_jax()
    optimizer = optax.adam(RATE)
    held = {"params": params, "state": optimizer.init(params)}
    fast = jax.jit(apply)

    @jax.jit
    def update(params: Any, state: Any, images: Any, labels: Any) -> tuple[Any, Any]:
        def loss_of(params: Any) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(apply(params, images), labels).mean()

        updates, state = optimizer.update(jax.grad(loss_of)(params), state)
        return optax.apply_updates(params, updates), state

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        held["params"], held["state"] = update(held["params"], held["state"], images, labels)

    return lambda images: np.asarray(fast(held["params"], images)), step, lambda: held["params"]


def keras_learner(model: wherry.Model, form: str) -> Learner:
    import keras

    keras.utils.set_random_seed(0)
    if form == "source":
        with tempfile.TemporaryDirectory() as folder:
            model.convert(Path(folder) / "code.py", to="keras", verify=False)
            names: dict[str, Any] = {}
            exec(compile((Path(folder) / "code.py").read_text(), "code.py", "exec"), names)
            learner = names["load_weights"](names[names["__all__"][0]](), Path(folder) / "code.safetensors")
    else:
        learner = model.to_keras(nested=form == "nested")
    learner.compile(keras.optimizers.Adam(RATE), keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def outputs(images: np.ndarray) -> np.ndarray:
        return keras.ops.convert_to_numpy(learner(np.ascontiguousarray(np.moveaxis(images, 1, -1)), training=False))

    def step(images: np.ndarray, labels: np.ndarray) -> None:
        learner.train_on_batch(np.ascontiguousarray(np.moveaxis(images, 1, -1)), labels)

    return outputs, step, lambda: learner


FRAMEWORKS: dict[str, Callable[[wherry.Model], Learner]] = {"PyTorch": torch_learner, "JAX": jax_learner}
for _backend in ("tensorflow", "jax", "torch"):
    for _form in ("archive", "nested", "source"):
        FRAMEWORKS[f"Keras:{_backend}:{_form}"] = lambda model, form=_form: keras_learner(model, form)


def loss_over(outputs: Callable[[np.ndarray], np.ndarray], data: list[tuple[np.ndarray, np.ndarray]]) -> float:
    losses = []
    for images, labels in data:
        logits = outputs(images).astype(np.float64)
        losses.append(np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(len(labels)), labels]))
    return float(np.mean(losses))


def learn(text: Path, framework: str) -> dict[str, Any]:
    """The row of one framework, in this process."""
    model = wherry.load(text, seed=2)
    start = wherry.load(text, seed=2).weights()
    shape = [int(size) for size in model.inputs[0][1].split("[")[1].rstrip("]").split(", ")][1:]
    classes = int(model.outputs[0][1].split(", ")[-1].rstrip("]"))
    data = list(batches(shape, classes, 1, STEPS))
    outputs, step, trained = FRAMEWORKS[framework](model)
    before = loss_over(outputs, data)
    for images, labels in data:
        step(images, labels)
    after = loss_over(outputs, data)

    model.update(trained())
    unseen = next(batches(shape, classes, 2, 1))[0]
    expected = outputs(unseen)
    with tempfile.TemporaryDirectory() as folder:
        model.convert(Path(folder) / "trained.yaml")
        wherry.load(Path(folder) / "trained.yaml").convert(Path(folder) / "trained.tflite")
        file = wherry.TfliteModel(Path(folder) / "trained.tflite")
        found = np.concatenate([file.run([np.moveaxis(image[None], 1, -1)])[0] for image in unseen])
    moved = [key for key, array in model.weights().items() if not np.array_equal(array, start[key])]
    error = float(np.abs(found - expected).max() / np.abs(expected).max())
    return {"framework": framework, "before": before, "after": after, "tflite_error": error, "moved": len(moved), "weights": len(start)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", type=Path)
    parser.add_argument("--frameworks", default=",".join(FRAMEWORKS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = given.text or Path(folder) / "learner.yaml"
        if not given.text:
            text.write_text(TEXT)
        if given.here:
            return print(json.dumps(learn(text, given.here)))
        rows = []
        for framework in given.frameworks.split(","):
            backend = framework.split(":")[1] if ":" in framework else ""
            command = [sys.executable, __file__, text, "--here", framework]
            environment = {**os.environ, **({"KERAS_BACKEND": backend} if backend else {})}
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
            rows.append(json.loads(done.stdout.splitlines()[-1]))
    if given.json:
        return print(json.dumps(rows))
    print("| framework | loss before | after one epoch | weights that moved | .tflite against the trained network |\n|---|---|---|---|---|")
    for row in rows:
        moved = f"{row['moved']} of {row['weights']}"
        print(f"| {row['framework']} | {row['before']:.3f} | {row['after']:.3f} | {moved} | {row['tflite_error']:.1e} |")


if __name__ == "__main__":
    main()
