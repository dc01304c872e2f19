#!/usr/bin/env python3
"""Measures quantization against litert-quantizer in one run: accuracy on photographs that calibrated nothing, time, memory, latency.

    bench/quantize.py                     all parts, about fifteen minutes; prints the tables of docs/benchmarks.md
    bench/quantize.py accuracy latency    some of them

Of the 500 photographs of ../shared/data/images (one a class), those whose number modulo 5 is 0 or 1 calibrate (200); the other 300
are scored. Needs the environment .bench/litert-quantizer (bench/setup_peers.sh).
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("WHERRY_DATA", ROOT.parent / "shared/data"))
BENCH = ROOT / ".bench"
FILES = BENCH / "quantize"
PEER = BENCH / "litert-quantizer/bin/python"
WHERRY = os.environ.get("WHERRY", ROOT / ".venv/bin/wherry")
PARTS = ["accuracy", "target", "time", "latency"]

# Source, what else the command line needs, and the preprocessing of the peer's script.
MODELS = {
    "fbnet_a": ([DATA / "fbnet_a.pt2", "--preprocess", FILES / "photos.yaml"], "fbnet"),
    "efficientnet_lite0": (
        [ROOT / "models/efficientnet_lite0.yaml", "--weights", BENCH / "models/efficientnet_lite0.pth"],
        "lite0",
    ),
}


def run(line):
    start = time.perf_counter()
    child = subprocess.Popen([str(word) for word in line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, error = child.communicate()
    wall = time.perf_counter() - start
    if child.returncode:
        sys.exit(f"{' '.join(str(w) for w in line)}: exit {child.returncode}\n{error[-2000:]}")
    return out, wall


def prepare():
    FILES.mkdir(parents=True, exist_ok=True)
    images = sorted((DATA / "images").iterdir())
    for name, picked in {"calibrate": [0, 1], "score": [2, 3, 4]}.items():
        lines = [str(file) for i, file in enumerate(images) if i % 5 in picked]
        (FILES / f"{name}.txt").write_text("\n".join(lines) + "\n")
    # The shared FBNet-A was made with bicubic scaling and a crop that rounds down.
    text = (ROOT / "models/fbnet_a.yaml").read_text()
    text = text.replace("filter: bilinear", "filter: bicubic")
    text = text.replace("center_crop: [224, 224]", "center_crop: {size: [224, 224], rounding: down}")
    (FILES / "photos.yaml").write_text(text)
    if not (library := FILES / "library").exists():
        library.symlink_to(ROOT / "library")


def convert(model, name, *options):
    out = FILES / f"{model}.{name}.tflite"
    text, wall = run([WHERRY, "convert", *MODELS[model][0], "-o", out, "--json", *options])
    return json.loads(text) | {"wall": wall}


def peer(model):
    """The peer's file, and its report."""
    out = FILES / f"{model}.peer.tflite"
    line = [PEER, ROOT / "bench/peers/quantize_litert.py", FILES / f"{model}.float.tflite", out]
    text, _ = run([*line, "--images", DATA / "images", "--preprocess", MODELS[model][1]])
    return json.loads(text.strip().splitlines()[-1])


def integer(model, name, *options):
    return convert(model, name, "--no-cache", "--calibrate", FILES / "calibrate.txt", *options)


def interval(successes, count):
    """Wilson's 95 % interval, in per cent."""
    z, p = 1.96, successes / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return f"{100 * (middle - half):.1f} to {100 * min(middle + half, 1):.1f}"


def score(model, names):
    """Agreement, SQNR and top-1 on the 300 photographs, by LiteRT in the peer's environment."""
    files = [FILES / f"{model}.{name}.tflite" for name in names]
    line = [PEER, ROOT / "bench/peers/score_tflite.py", "--preprocess", MODELS[model][1], DATA, *files]
    return json.loads(run(line)[0].strip().splitlines()[-1])


def accuracy(args):
    for model in MODELS:
        convert(model, "float")
        peer(model)
        integer(model, "int8", "--precision", "int8")
        integer(model, "int8-equalized", "--precision", "int8", "--equalize")
        integer(model, "int16x8", "--precision", "int16x8", "--calibration-count", "100")
        names = ["float", "peer", "int8", "int8-equalized", "int16x8"]
        print(f"\n{model}: 300 photographs, LiteRT\n\n| file | agreement | 95 % | SQNR | top-1 |\n|---|---|---|---|---|")
        for name, s in zip(names, score(model, names), strict=False):
            print(
                f"| {name} | {100 * s['agreement']:.2f} % ({s['flips']} flips) | {interval(s['count'] - s['flips'], s['count'])} "
                f"| {s['sqnr_db']:.2f} dB | {100 * s['top1']:.2f} % |"
            )


def target(args):
    print("\n--accuracy-target\n\n| model | outside int8 | agreement (300) | SQNR |\n|---|---|---|---|")
    for model in MODELS:
        convert(model, "float")
        report = integer(model, "target", "--precision", "int8", "--accuracy-target", "agreement >= 99.5%")
        chosen = report["target"]["tried"][report["target"]["chosen"]]
        s = score(model, ["float", "target"])[1]
        print(f"| {model} | {100 * chosen['outside_int8']:.1f} % | {100 * s['agreement']:.2f} % | {s['sqnr_db']:.2f} dB |")


def duration(args):
    """Rounds of Wherry's whole process and the peer's calibrate and quantize alone, one after the other."""
    print("\n| model | Wherry, all | peer, calibrate + quantize | ratio | peak |\n|---|---|---|---|---|")
    for model in MODELS:
        convert(model, "float")
        ours, theirs, peaks = [], [], []
        for _ in range(args.rounds):
            report = integer(model, "int8", "--precision", "int8")
            ours.append(report["wall"])
            peaks.append(report["peak_rss_mb"])
            seconds = peer(model)["seconds"]
            theirs.append(seconds["calibrate"] + seconds["quantize"])
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=False))
        print(f"| {model} | {statistics.median(ours):.2f} s | {statistics.median(theirs):.2f} s | {ratio:.2f} | {max(peaks):.0f} MB |")


def latency(args):
    print("\n| model | threads | Wherry / peer, int8 |\n|---|---|---|")
    for model in MODELS:
        for threads in (1, 2):
            files = [FILES / f"{model}.int8.tflite", FILES / f"{model}.peer.tflite"]
            line = [PEER, ROOT / "bench/peers/score_tflite.py", "--latency", str(threads), DATA, *files]
            times = json.loads(run(line)[0].strip().splitlines()[-1])
            print(f"| {model} | {threads} | {times['ratio']:.3f} ({times['ms'][0]:.2f} ms) |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    prepare()
    steps = {"accuracy": accuracy, "target": target, "time": duration, "latency": latency}
    for part in args.parts:
        steps[part](args)


if __name__ == "__main__":
    main()
