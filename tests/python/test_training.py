"""One epoch on generated data lowers the loss in PyTorch and in JAX, from one text; and the weights come back."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
import pytest

wherry = pytest.importorskip("wherry")

TEXT = """
wherry: 1
name: learner
use: [vision]
model:
  inputs: {image: "float32[16, 3, 16, 16]"}
  layers:
    stem: {block: ConvBNRelu6, in: 3, out: 8, kernel: 3, stride: 2}
    body: {block: InvertedResidual, repeat: 2, in: 8, out: 8}
    pool: {op: adaptive_avg_pool2d, output_size: 1}
    flat: {op: flatten, start_dim: 1}
    fc: {op: linear, in: 8, out: 4}
  outputs: {logits: fc}
"""


def batches(count=24, size=16):
    """Images whose class is the colour that prevails, or none."""
    random = np.random.default_rng(3)
    for _ in range(count):
        labels = random.integers(0, 4, size)
        images = random.standard_normal((size, 3, 16, 16)).astype(np.float32)
        for image, label in zip(images, labels, strict=True):
            image[label : label + 1] += 1.5
        yield images, labels


@pytest.fixture
def model(tmp_path):
    text = tmp_path / "learner.yaml"
    text.write_text(TEXT)
    return wherry.load(text, seed=2)


def came_back(model, before, outputs, images, tmp_path):
    """The text with its new weights computes what the framework computes, and converts."""
    np.testing.assert_allclose(model.run([images])[0], outputs, atol=1e-4)
    assert not np.allclose(model.weights()["fc.weight"], before)
    model.convert(tmp_path / "trained.tflite")


def test_torch_learns(model, tmp_path):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module, losses, before = model.to_torch().train(), [], model.weights()["fc.weight"].copy()
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for images, labels in batches():
        loss = torch.nn.functional.cross_entropy(module(torch.from_numpy(images)), torch.from_numpy(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    assert np.abs(module.state_dict()["stem.1.running_mean"].numpy()).max() > 0  # statistics move in training
    model.update(module)
    with torch.no_grad():
        outputs = module.eval()(torch.from_numpy(images)).numpy()
    came_back(model, before, outputs, images, tmp_path)


def test_jax_learns(model, tmp_path):
    jax = pytest.importorskip("jax")
    optax = pytest.importorskip("optax")
    apply, params = model.to_jax()
    losses, before = [], model.weights()["fc.weight"].copy()
    optimizer = optax.adam(0.01)
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, images, labels):
        def loss_of(params):
            return optax.softmax_cross_entropy_with_integer_labels(apply(params, images), labels).mean()

        loss, gradients = jax.value_and_grad(loss_of)(params)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(params, updates), state, loss

    for images, labels in batches():
        params, state, loss = step(params, state, images, labels)
        losses.append(float(loss))
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])
    model.update(params)
    came_back(model, before, np.asarray(apply(params, images)), images, tmp_path)
