"""Quantizes a float .tflite (image input, channels last) to int8 with litert-quantizer, and says how long each step took.

quantize_litert.py FLOAT.tflite OUT.tflite --images DIR [--preprocess lite0|fbnet]

The images are decoded and scaled before the clock of `calibrate` starts, as its own examples do. Prints one JSON line.
"""

import argparse
import json
import resource
import time
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import quantizer, recipe
from photographs import PREPROCESS, calibrating, prepared


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--preprocess", choices=sorted(PREPROCESS), default="lite0")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    seconds = {}
    start = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        now = time.perf_counter()
        seconds[name], start = round(now - start, 3), now

    files = calibrating(args.images)
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
