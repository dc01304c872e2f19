"""Quantizes a float .tflite (image input, channels last) to int8 with litert-quantizer, and says how long each step took.

quantize_litert.py FLOAT.tflite OUT.tflite --images DIR [--count 200] [--preprocess lite0|fbnet]

Calibrates on every image of the sorted folder whose number modulo 5 is 0 or 1 (200 of 500); the others are for scoring. The images are
decoded and scaled before the clock of `calibrate` starts, as its own examples do. Prints one JSON line.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import quantizer, recipe
from PIL import Image

PREPROCESS = {  # as models/*.yaml say
    "lite0": (Image.Resampling.BICUBIC, 1.0, [127.0] * 3, [128.0] * 3),
    "fbnet": (Image.Resampling.BICUBIC, 1 / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


def prepared(file: Path, which: str) -> np.ndarray:
    resampling, scale, mean, deviation = PREPROCESS[which]
    image = Image.open(file).convert("RGB")
    factor = 256 / min(image.size)
    image = image.resize([max(256, int(side * factor)) for side in image.size], resampling)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) * np.float32(scale)
    return ((pixels - np.array(mean, np.float32)) / np.array(deviation, np.float32))[None].astype(np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--preprocess", choices=sorted(PREPROCESS), default="lite0")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    seconds = {}
    start = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        now = time.perf_counter()
        seconds[name], start = round(now - start, 3), now

    files = [file for i, file in enumerate(sorted(args.images.iterdir())) if i % 5 < 2][: args.count]
    (name,) = Interpreter(args.source).get_signature_list()["serving_default"]["inputs"]
    data = [{name: prepared(file, args.preprocess)} for file in files]
    lap("decode")
    peer = quantizer.Quantizer(args.source, recipe.static_wi8_ai8())
    statistics = peer.calibrate({"serving_default": data}, num_threads=args.threads)
    lap("calibrate")
    result = peer.quantize(statistics)
    lap("quantize")
    result.export_model(args.out, overwrite=True)
    lap("write")
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"output": args.out, "images": len(files), "seconds": seconds, "peak_rss_mb": round(megabytes, 1)}))


if __name__ == "__main__":
    main()
