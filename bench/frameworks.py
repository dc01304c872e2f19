"""All targets of one text on the same photographs: agreement on top-1, largest error, signal to noise.

    python bench/frameworks.py [--models fbnet_a,…] [--targets PyTorch,JAX] [--count 500] [--json]

A target is a function from a model (wherry.Model) and a folder for files to a function from images to outputs; `TARGETS` lists them.
The first is what the others are compared with: the module of to_torch(), in float32. Models and photographs are those of
bench/trained.py; each model's images are prepared as its text says. A row's error is the largest over all images and classes, of
the largest output in absolute value over all images.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import wherry
from trained import MODELS, images, load, photographs

BATCH = 20  # of Keras; the other targets take the batch of one that the text says
Run = Callable[[np.ndarray], np.ndarray]


def one_by_one(run: Run) -> Run:
    return lambda batch: np.concatenate([run(image[None]) for image in batch])


def channels_last(batch: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(batch, 1, -1))


def pytorch(model: wherry.Model, folder: Path) -> Run:
    import torch

    module = model.to_torch()

    def run(batch: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(batch)).numpy()

    return one_by_one(run)


def jax(model: wherry.Model, folder: Path) -> Run:
    import jax

    apply, params = model.to_jax()
    compiled = jax.jit(apply)
    return one_by_one(lambda image: np.asarray(compiled(params, image)))


def onnx(model: wherry.Model, folder: Path) -> Run:
    import onnxruntime

    model.convert(folder / "model.onnx", verify=False)
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    return one_by_one(lambda image: session.run(None, {session.get_inputs()[0].name: image})[0])


def litert(model: wherry.Model, folder: Path) -> Run:
    model.convert(folder / "model.tflite", verify=False)
    file = wherry.TfliteModel(folder / "model.tflite", threads=2)
    return one_by_one(lambda image: file.run([channels_last(image)])[0])


def keras(backend: str, form: str) -> Callable[[wherry.Model, Path], Run]:
    """An archive or source code in a process of its own: Keras takes one backend a process."""

    def target(model: wherry.Model, folder: Path) -> Run:
        file = folder / ("model.keras" if form == "archive" else "network.py")
        model.convert(file, verify=False, **({"to": "keras"} if form == "source" else {}))

        def run(batch: np.ndarray) -> np.ndarray:
            np.save(folder / "images.npy", channels_last(batch))
            command = [sys.executable, __file__, "--in-keras", file]
            subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": backend}, stderr=subprocess.DEVNULL)
            return np.load(folder / "outputs.npy")

        return run

    return target


def in_keras(file: Path) -> None:
    import keras

    if file.suffix == ".keras":
        model = keras.saving.load_model(file, compile=False)
    else:
        sys.path.insert(0, str(file.parent))
        module = __import__(file.stem)
        model = module.load_weights(getattr(module, module.__all__[0])(), file.with_suffix(".safetensors"))
    found = model.predict(np.load(file.parent / "images.npy"), batch_size=BATCH, verbose=0)
    np.save(file.parent / "outputs.npy", found)


TARGETS: dict[str, Callable[[wherry.Model, Path], Run]] = {
    "PyTorch": pytorch,
    "reference evaluator": lambda model, folder: one_by_one(lambda image: model.run([image])[0]),
    "Keras archive on TensorFlow": keras("tensorflow", "archive"),
    "Keras archive on JAX": keras("jax", "archive"),
    "Keras archive on PyTorch": keras("torch", "archive"),
    "Keras source on TensorFlow": keras("tensorflow", "source"),
    "ONNX Runtime": onnx,
    "JAX": jax,
    "LiteRT float32": litert,
}


def compared(found: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    theirs, ours = expected.astype(np.float64), found.astype(np.float64)
    noise = max(float(np.square(ours - theirs).sum()), 1e-300)
    return {
        "count": len(ours),
        "agreement": float((ours.argmax(1) == theirs.argmax(1)).mean()),
        "error": float(np.abs(ours - theirs).max() / np.abs(theirs).max()),
        "sqnr_db": float(10 * np.log10(float(np.square(theirs).sum()) / noise)),
    }


def shown(row: dict) -> str:
    verdict = "" if row["agreement"] == 1 and row["error"] <= 3e-5 else "  misses"
    return (
        f"{row['model']:20} {row['target']:28} {row['count']:4} images, same top-1 {row['agreement']:.2%}, error {row['error']:.1e}, "
        f"{row['sqnr_db']:.0f} dB, {row['seconds']:.0f} s{verdict}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--targets", default=",".join(TARGETS), help="the first is what the others are compared with")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="print one JSON document in the last line")
    parser.add_argument("--in-keras", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_keras:
        return in_keras(given.in_keras)
    first, *others = given.targets.split(",")
    rows = []
    for name in given.models.split(","):
        model = load(name)
        batch = images(model, photographs()[: given.count])
        with tempfile.TemporaryDirectory() as folder:
            expected = TARGETS[first](model, Path(folder))(batch)
            for target in others:
                begin = time.perf_counter()
                found = TARGETS[target](model, Path(folder))(batch)
                rows.append({"model": name, "target": target, **compared(found, expected), "seconds": time.perf_counter() - begin})
                print(shown(rows[-1]), file=sys.stderr, flush=True)
    if given.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
