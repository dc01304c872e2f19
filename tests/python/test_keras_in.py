"""Keras models as sources: those of Keras's own making, those that Wherry wrote, and those with layers that it does not know."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = {"WHERRY_PYTHON": sys.executable}
pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="needs Keras")

MAKE = """
import sys
import keras
from keras import layers
keras.utils.set_random_seed(0)
folder = sys.argv[1]

x = image = keras.Input((33, 32, 3), name="image")
x = layers.Rescaling(1 / 127.5, offset=-1)(x)
x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
x = layers.BatchNormalization()(x)
y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
y = layers.ReLU(6)(y)
y = layers.Conv2D(8, 1, activation="swish")(y)
x = layers.Add()([x, y])
x = layers.MaxPooling2D(3, 2, padding="same")(x)
x = layers.Concatenate()([x, layers.ZeroPadding2D(((1, 0), (0, 1)))(layers.Cropping2D(((1, 0), (0, 1)))(x))])
x = layers.Dropout(0.3)(x)
inner = keras.Sequential([keras.Input(x.shape[1:]), layers.Conv2D(4, 3, name="inside"), layers.LeakyReLU(0.1)], name="nested")
x = inner(x)
z = layers.GlobalAveragePooling2D()(x)
x = layers.Flatten()(x)
x = layers.Dense(10, activation="tanh")(x)
x = layers.Concatenate()([x, z])
outputs = layers.Dense(5, activation="softmax", name="classes")(x)
model = keras.Model(image, outputs, name="stock")
for layer in model.layers:
    if isinstance(layer, layers.BatchNormalization):
        layer.set_weights([w + 0.1 * i for i, w in enumerate(layer.get_weights(), 1)])
model.save(f"{folder}/functional.keras")

keras.Sequential([keras.Input((20,)), layers.Dense(7, activation="gelu"), layers.LayerNormalization(), layers.Dense(3)]).save(
    f"{folder}/sequential.keras"
)


@keras.saving.register_keras_serializable(package="shop")
class Twice(layers.Layer):
    def call(self, x):
        return x * 2


a = keras.Input((4,))
keras.Model(a, layers.Dense(2)(Twice(name="b")(Twice(name="a")(a)))).save(f"{folder}/custom.keras")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("keras_in")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", MAKE, made], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return made


@pytest.mark.parametrize("name", ["functional", "sequential"])
def test_a_stock_model_is_read(run, folder, name):
    """The text computes what Keras computes."""
    text = folder / f"{name}.yaml"
    done = run("convert", folder / f"{name}.keras", "-o", text)
    assert done.code == 0, done.err
    found = run("verify", folder / f"{name}.keras", text, "--json", env=PYTHON)
    assert found.code == 0 and found.json["relative_error"] < 3e-5, found.out + found.err


def test_custom_layers_are_named_with_how_to_register_them(run, folder):
    done = run("show", folder / "custom.keras")
    assert done.code == 1 and done.err.count("E201") == 2
    assert "layer 'a' is of the custom class 'shop>Twice'" in done.err and 'keras_in = {{"Twice"' in done.err


def test_what_wherry_wrote_comes_back(run, tmp_path):
    """The same numbers, bit for bit, by the same evaluator, and weights under the same keys."""
    wherry = pytest.importorskip("wherry")
    model = ROOT / "models/mobilenet_v2.yaml"
    assert run("convert", model, "--seed", 1, "-o", tmp_path / "m.keras", "--no-verify").code == 0
    assert run("convert", tmp_path / "m.keras", "-o", tmp_path / "back.yaml").code == 0
    found = run("verify", model, tmp_path / "back.yaml", "--seed", 1, "--json")
    assert found.code == 0 and found.json["max_abs_error"] == 0
    ours, theirs = wherry.load(model, seed=1).weights(), wherry.load(tmp_path / "back.yaml").weights()
    assert ours.keys() == theirs.keys()


def test_damaged_archives_are_messages(run, folder, tmp_path):
    whole = (folder / "sequential.keras").read_bytes()
    for name, data in (("cut.keras", whole[: len(whole) // 2]), ("empty.keras", b"")):
        (tmp_path / name).write_bytes(data)
        done = run("show", tmp_path / name)
        assert done.code == 1 and "error E1" in done.err, done.err
