"""Scores .tflite classifiers against the first one, on the 300 photographs that calibrated nothing; or times them.

score_tflite.py [--preprocess lite0|fbnet] [--latency THREADS] DATA FLOAT.tflite FILE.tflite…   one JSON line
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from photographs import prepared, scored


class Model:
    def __init__(self, file: Path, threads: int) -> None:
        self.interpreter = Interpreter(str(file), num_threads=threads)
        self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        (self.output,) = self.interpreter.get_output_details()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self.interpreter.set_tensor(self.input["index"], self.taken(image))
        self.interpreter.invoke()
        answer = self.interpreter.get_tensor(self.output["index"])[0]
        if answer.dtype == np.float32:
            return answer
        scale, zero = self.output["quantization"]
        return scale * (answer.astype(np.float32) - zero)

    def taken(self, image: np.ndarray) -> np.ndarray:
        if self.input["dtype"] == np.float32:
            return image
        scale, zero = self.input["quantization"]
        limits = np.iinfo(self.input["dtype"])
        return np.clip(np.round(image / scale) + zero, limits.min, limits.max).astype(self.input["dtype"])


def scores(args: argparse.Namespace) -> list:
    images = scored(args.data / "images")
    classes = [line.split("\t")[1] for line in (args.data / "imagenet1k.tsv").read_text().splitlines()]
    labels = np.array([classes.index(file.name.split("_")[0]) for file in images])
    labels -= classes.index("n01440764")  # the first class, after whatever header
    pixels = [prepared(file, args.preprocess) for file in images]
    out, wanted = [], None
    for file in args.files:
        model = Model(file, 2)
        answers = np.array([model(image) for image in pixels])
        wanted = answers if wanted is None else wanted
        noise = float(((answers - wanted) ** 2).sum())
        flips = int((answers.argmax(1) != wanted.argmax(1)).sum())
        out.append(
            {
                "file": str(file),
                "count": len(images),
                "flips": flips,
                "agreement": 1 - flips / len(images),
                "sqnr_db": 10 * np.log10(float((wanted**2).sum()) / noise) if noise else float("inf"),
                "top1": float((answers.argmax(1) == labels).mean()),
            }
        )
    return out


def latency(args: argparse.Namespace) -> dict:
    """Blocks of runs by turns; the median ratio of neighbouring blocks."""
    models = [Model(file, args.latency) for file in args.files]
    image = np.random.default_rng(0).normal(size=models[0].input["shape"]).astype(np.float32)
    blocks = [[] for _ in models]
    for turn in range(60):
        for model, times in zip(models, blocks, strict=False):
            start = time.perf_counter()
            for _ in range(10):
                model(image)
            if turn >= 5:
                times.append((time.perf_counter() - start) / 10)
    ratio = statistics.median(a / b for a, b in zip(blocks[0], blocks[1], strict=False))
    return {"ms": [1000 * statistics.median(times) for times in blocks], "ratio": ratio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preprocess", default="lite0")
    parser.add_argument("--latency", type=int, metavar="THREADS")
    parser.add_argument("data", type=Path)
    parser.add_argument("files", nargs="+", type=Path)
    args = parser.parse_args()
    print(json.dumps(latency(args) if args.latency else scores(args)))


if __name__ == "__main__":
    main()
