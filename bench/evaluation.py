"""Images a second of `wherry evaluate` against a loop of Pillow, NumPy and LiteRT's interpreter, from files to accuracy.

    .venv/bin/python bench/evaluation.py MODEL.tflite --data FOLDER --labels TABLE.tsv --preprocess TEXT.yaml

Both are whole processes on two threads. They take turns; each of the loop's runs is divided by the mean of Wherry's before and behind it.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time

LOOP = """
import pathlib, sys
import numpy
from PIL import Image
from ai_edge_litert.interpreter import Interpreter
model, data, labels, mean, std = sys.argv[1:6]
mean, std = float(mean), float(std)
classes = {row.split("\\t")[1]: int(row.split("\\t")[0]) for row in pathlib.Path(labels).read_text().splitlines()[1:]}
interpreter = Interpreter(model, num_threads=2)
interpreter.allocate_tensors()
taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
right = count = 0
for file in sorted(pathlib.Path(data).iterdir()):
    image = Image.open(file).convert("RGB")
    short, long = sorted(image.size)
    longer = int(256 * long / short)
    image = image.resize((256, longer) if image.width <= image.height else (longer, 256), Image.Resampling.BICUBIC)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    array = (numpy.asarray(image.crop((left, top, left + 224, top + 224)), numpy.float32) - mean) / std
    if taken["dtype"] != numpy.float32:
        scale, zero = taken["quantization"]
        array = numpy.clip(numpy.round(array / scale) + zero, -128, 127).astype(taken["dtype"])
    interpreter.set_tensor(taken["index"], array[None])
    interpreter.invoke()
    right += int(interpreter.get_tensor(given["index"])[0].argmax() == classes[file.name.split("_")[0]])
    count += 1
print(right / count)
"""


def timed(command):
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - begin, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--labels", required=True)
    parser.add_argument("--preprocess", required=True)
    parser.add_argument("--mean", type=float, default=127)
    parser.add_argument("--std", type=float, default=128)
    parser.add_argument("--wherry", default=str(pathlib.Path(sys.executable).parent / "wherry"))
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    loop = [sys.executable, "-c", LOOP, options.model, options.data, options.labels, str(options.mean), str(options.std)]
    ours = [options.wherry, "evaluate", options.model, "--data", options.data, "--labels", options.labels]
    ours += ["--preprocess", options.preprocess, "--threads", "2", "--json"]
    count = len(list(pathlib.Path(options.data).iterdir()))
    before, out = timed(ours)
    found, quotients, rates = json.loads(out)["models"][0]["top1"], [], []
    for _ in range(options.pairs):
        theirs, said = timed(loop)
        behind, _ = timed(ours)
        quotients.append(theirs / ((before + behind) / 2))
        rates.append((count / behind, count / theirs))
        before = behind
        assert abs(float(said) - found) < 1e-9, f"the loop finds {float(said):.4f}, wherry {found:.4f}"
    print(f"top-1 {found:.4f} on both sides; images a second, medians of {options.pairs} pairs:")
    print(f"  wherry evaluate {statistics.median(r[0] for r in rates):.0f}, the loop {statistics.median(r[1] for r in rates):.0f}")
    print(f"  quotient {statistics.median(quotients):.2f} ({min(quotients):.2f} to {max(quotients):.2f})")


if __name__ == "__main__":
    main()
