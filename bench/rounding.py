#!/usr/bin/env python3
"""Output error of rounded weights, GPTQ and AdaRound against nearest rounding, at 4 and 8 bits: the table of docs/benchmarks.md.

    bench/rounding.py IMAGES WEIGHTS.pth    EfficientNet-Lite0 with 200 of the images, and synthetic data

Needs build/release with WHERRY_TESTS=ON and its target measure_rounding.
"""

import argparse
import json
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOL = ROOT / "build/release/tests/measure_rounding"


def measured(*words):
    start = time.perf_counter()
    child = subprocess.run([TOOL, *words], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(child.stdout), time.perf_counter() - start


def rows(title, found):
    for bits in (4, 8):
        for data in ("held_in", "held_out"):
            cells = [f"{title}, {bits} bits", data.replace("_", " ")]
            for method in ("gptq", "adaround"):
                ratio = found["ratios"][f"{bits}/{data}/{method}"]
                cells += [f"{ratio['geometric_mean']:.3f}", f"{ratio['median']:.3f}", f"{ratio['worst']:.3f}"]
            print("| " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images")
    parser.add_argument("weights")
    parser.add_argument("--count", default="200", help="how many of the images, evenly")
    args = parser.parse_args()
    model, seconds = measured(ROOT / "models/efficientnet_lite0.yaml", args.images, args.count, args.weights)
    synthetic, _ = measured("synthetic")
    print("| error ÷ that of nearest | moments | GPTQ: mean | median | worst layer | AdaRound: mean | median | worst layer |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    rows(f"EfficientNet-Lite0, {len(model['layers'])} layers", model)
    rows(f"synthetic, {len(synthetic['layers'])} layers", synthetic)
    times = ", ".join(f"{method} {spent:.1f} s" for method, spent in model["seconds"].items())
    print(f"\nRounding EfficientNet-Lite0 to 8 bits, summed over threads: {times}; the whole measurement {seconds:.0f} s.")


if __name__ == "__main__":
    main()
