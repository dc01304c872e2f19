"""All targets of one model on the same images: agreement on top-1, largest error, signal to noise.

    python bench/frameworks.py [--models fbnet_a,…] [--targets PyTorch,JAX] [--count 500]

A target is a function from a model (wherry.Model) and a folder for files to a function from images to outputs; `TARGETS` lists
them. The first is what the others are compared with, on every image; Wherry's reference evaluator on the first eight.
FBNet-A and B are the archives of ../shared/data (or $WHERRY_DATA) with their weights; the others are models/*.yaml, with the weights
that --weights NAME=FILE gives or seeded ones.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import wherry

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("WHERRY_DATA", ROOT.parent / "shared" / "data"))
MODELS = ["fbnet_a", "fbnet_b", "fbnet_c", "efficientnet_lite0", "mobilenet_v2", "resnet18"]
Run = Callable[[np.ndarray], np.ndarray]


def pytorch(model: wherry.Model, folder: Path) -> Run:
    import torch

    module = model.to_torch()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return run


def jax(model: wherry.Model, folder: Path) -> Run:
    import jax

    apply, params = model.to_jax()
    compiled = jax.jit(apply)
    return lambda images: np.asarray(compiled(params, images))


TARGETS: dict[str, Callable[[wherry.Model, Path], Run]] = {"PyTorch": pytorch, "JAX": jax}


def images(count: int, size: int = 224) -> np.ndarray:
    """Photographs as ImageNet's classifiers take them: the shorter side 256, the middle 224, normalised."""
    from PIL import Image

    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    batch = []
    for file in sorted((DATA / "images").iterdir())[:count]:
        with Image.open(file) as image:
            image = image.convert("RGB")
            scale = 256 / min(image.size)
            image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BILINEAR)
            left, top = (image.width - size) // 2, (image.height - size) // 2
            pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32) / 255
            batch.append(((pixels - mean) / std).transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(batch), dtype=np.float32)


def load(name: str, weights: dict[str, str]) -> wherry.Model:
    if (DATA / f"{name}.pt2").exists():
        return wherry.load(DATA / f"{name}.pt2")
    given = {"weights": weights[name]} if name in weights else {"seed": 0}
    return wherry.load(ROOT / "models" / f"{name}.yaml", **given)


def outputs_of(run: Run, batch: np.ndarray) -> np.ndarray:
    return np.concatenate([run(image[None]) for image in batch])  # one by one: the texts' batch is 1


def row(name: str, target: str, found: np.ndarray, expected: np.ndarray, seconds: float) -> dict[str, object]:
    difference = found.astype(np.float64) - expected
    return {
        "model": name,
        "target": target,
        "images": len(found),
        "top1_agreement": float((found.argmax(1) == expected.argmax(1)).mean()),
        "max_error": float(np.abs(difference).max() / np.abs(expected).max()),
        "sqnr_db": float(10 * np.log10(np.square(expected, dtype=np.float64).sum() / max(np.square(difference).sum(), 1e-300))),
        "seconds": seconds,
    }


def measure(name: str, targets: list[str], batch: np.ndarray, weights: dict[str, str]) -> list[dict[str, object]]:
    rows, expected = [], None
    model = load(name, weights)
    with tempfile.TemporaryDirectory() as folder:
        for target in targets:
            begin = time.perf_counter()
            found = outputs_of(TARGETS[target](model, Path(folder)), batch)
            seconds = time.perf_counter() - begin
            if expected is None:
                expected = found
                reference = np.concatenate([model.run([image[None]])[0] for image in batch[:8]])
                rows.append(row(name, "reference evaluator", reference, expected[:8], 0))
            else:
                rows.append(row(name, target, found, expected, seconds))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--targets", default=",".join(TARGETS), help="the first is what the others are compared with")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE")
    given = parser.parse_args()
    batch = images(given.count)
    targets = given.targets.split(",")
    print(f"| model | target (against {targets[0]}) | images | same top-1 | max error, of max | SQNR dB |")
    print("|---|---|---|---|---|---|")
    for name in given.models.split(","):
        for r in measure(name, targets, batch, dict(pair.split("=", 1) for pair in given.weights)):
            print(
                f"| {r['model']} | {r['target']} | {r['images']} | {r['top1_agreement']:.2%} | {r['max_error']:.1e} | {r['sqnr_db']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
