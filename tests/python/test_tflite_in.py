"""Float .tflite files as models: Wherry's own come back as they went, and TensorFlow's equal what LiteRT makes of them."""

import os

import numpy as np
import pytest
from conftest import ROOT

MODELS = ["mobilenet_v2", "resnet18", "fbnet_a", "efficientnet_lite0"]


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(run, tmp_path, name, precision):
    first, text, second = tmp_path / "first.tflite", tmp_path / "back.yaml", tmp_path / "second.tflite"
    made = run("convert", ROOT / "models" / f"{name}.yaml", "--seed", 1, "--precision", precision, "-o", first, "--no-verify", "--json")
    assert made.code == 0, made.err
    back = run("import", first, "-o", text, "--json")
    assert back.code == 0, back.err
    assert "permute" not in back.json["ops"]
    compared = run("verify", text, first, "--layers", "--json")
    assert compared.code == 0 and compared.json["relative_error"] < (2e-5 if precision == "float32" else 2e-3), compared.err
    assert len(compared.json["layers"]) > 20 or precision == "float16"
    again = run("convert", text, "-o", second, "--precision", precision, "--no-verify", "--json")
    assert again.json["ops"] == made.json["ops"]
    straight = run("convert", first, "-o", tmp_path / "straight.tflite", "--json")
    assert straight.code == 0 and straight.json["verified"]
    assert {k: v for k, v in straight.json["ops"].items() if k != "DEQUANTIZE"} == {
        k: v for k, v in made.json["ops"].items() if k != "DEQUANTIZE"
    }


def test_show_and_check_read_it(run, tmp_path):
    file = tmp_path / "m.tflite"
    assert run("convert", ROOT / "models" / "mobilenet_v2.yaml", "--seed", 1, "-o", file, "--no-verify").code == 0
    assert "CONV_2D" in run("show", file).out
    assert run("check", file).code == 0


def test_an_integer_file_is_refused_by_name(run, tmp_path):
    text, data = tmp_path / "m.yaml", tmp_path / "data.npy"
    text.write_text(
        'wherry: 1\nname: m\nmodel:\n  inputs: {x: "float32[1, 3, 8, 8]"}\n  layers:\n'
        "    conv: {op: conv2d, in: 3, out: 4, kernel_size: 3}\n  outputs: {y: conv}\n"
    )
    np.save(data, np.random.default_rng(0).standard_normal((16, 3, 8, 8)).astype(np.float32))
    made = run("convert", text, "--seed", 1, "-o", tmp_path / "m.tflite", "--precision", "int8", "--calibrate", data)
    assert made.code == 0, made.err
    done = run("convert", tmp_path / "m.tflite", "-o", tmp_path / "again.yaml")
    assert done.code == 1 and "E107" in done.err and "quantized" in done.err and "int8" in done.err
    assert not (tmp_path / "again.yaml").exists()


def networks():
    """Small Keras models of the layers that classifiers, segmenters and transformers are made of."""
    import keras
    from keras import layers as L

    def cnn(x):
        x = L.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
        x = L.ReLU(6.0)(L.BatchNormalization()(x))
        x = L.DepthwiseConv2D(5, strides=2, padding="same", activation="relu")(x)
        x = L.Add()([x, L.Conv2D(8, 1)(x)])
        x = L.AveragePooling2D(2, 2, "same")(L.MaxPooling2D(3, 2, "same")(x))
        return L.Dense(10, "softmax")(L.GlobalAveragePooling2D()(x))

    def excited(x):
        x = L.Conv2D(8, 3, strides=2, activation="hard_swish")(L.ZeroPadding2D(((0, 1), (1, 0)))(x))
        s = L.Conv2D(4, 1, activation="relu")(L.GlobalAveragePooling2D(keepdims=True)(x))
        x = L.Activation("swish")(L.Multiply()([x, L.Conv2D(8, 1, activation="hard_sigmoid")(s)]))
        return L.Conv2D(6, 3, dilation_rate=2, padding="same", activation="gelu")(x)

    def upsampled(x):
        parts = [L.UpSampling2D(2, interpolation="bilinear")(x), L.UpSampling2D(2, interpolation="nearest")(x)]
        parts += [L.Conv2DTranspose(5, 3, strides=2, padding="same")(x), L.Conv2DTranspose(5, 2, strides=2, activation="relu")(x)]
        x = L.PReLU(shared_axes=[1, 2], alpha_initializer="random_normal")(L.LeakyReLU(negative_slope=0.2)(L.Concatenate()(parts)))
        return L.Conv2D(2, 3, activation="sigmoid")(x)

    def flat(x):
        x = L.Flatten()(L.Cropping2D(((1, 0), (0, 2)))(L.Conv2D(4, 3, activation="elu")(x)))
        x = L.Permute((2, 1))(L.Reshape((3, 4))(L.Dense(12, "tanh")(x)))
        return L.Dense(5)(L.LayerNormalization()(x))

    def attention(x):
        x = L.LayerNormalization()(x + L.MultiHeadAttention(2, 4)(x, x))
        return L.Dense(8)(L.Dense(16, "gelu")(x)) + x

    def arithmetic(x):
        k = keras.ops
        a, b = k.split(x, 2, axis=-1)
        y = k.exp(-k.abs(k.maximum(a, b) - k.minimum(a, 0.5) * 2.0))
        z = k.square(k.max(k.stack([y, a], axis=1), axis=1) - b) / (1.0 + k.sqrt(k.abs(b)))
        z = k.sum(z[:, 1:, ::2, :], axis=(1, 2))
        return k.log_softmax(k.concatenate([z, z], axis=-1))

    def one_axis(x):
        x = L.MaxPooling1D(2)(L.Conv1D(6, 3, padding="same", activation="relu")(x))
        return L.GlobalMaxPooling1D()(L.Conv1D(4, 3, dilation_rate=2)(x))

    shapes = {
        cnn: (33, 32, 3),
        excited: (16, 16, 4),
        upsampled: (8, 8, 3),
        flat: (9, 9, 2),
        attention: (6, 8),
        arithmetic: (4, 6, 4),
        one_axis: (20, 3),
    }
    for network, shape in shapes.items():
        keras.utils.set_random_seed(1)
        image = keras.Input(shape, batch_size=1)
        yield network.__name__, keras.Model(image, network(image))


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf = pytest.importorskip("tensorflow")
    folder = tmp_path_factory.mktemp("keras")
    files = {}
    for name, model in networks():
        files[name] = folder / f"{name}.tflite"
        files[name].write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return files


@pytest.mark.parametrize("name", ["cnn", "excited", "upsampled", "flat", "attention", "arithmetic", "one_axis"])
def test_a_file_of_tensorflow_equals_litert(run, keras_files, tmp_path, name):
    text = tmp_path / "model.yaml"
    done = run("import", keras_files[name], "-o", text, "--json")
    assert done.code == 0, done.err
    for a, b in [(keras_files[name], text), (text, keras_files[name])]:
        compared = run("verify", a, b, "--json")
        assert compared.code == 0 and compared.json["relative_error"] < 2e-6, compared.err
    if name in ("cnn", "excited"):
        assert "permute" not in done.json["ops"]
    again = run("convert", keras_files[name], "-o", tmp_path / "again.tflite", "--json")
    assert again.code == 0 and again.json["verified"], again.err
