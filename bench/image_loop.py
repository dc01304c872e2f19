"""What people write to score a .tflite: a loop of Pillow, NumPy and LiteRT's interpreter. Prints top-1.

image_loop.py MODEL.tflite PHOTOGRAPHS IMAGENET1K.tsv [THREADS]    images prepared as models/efficientnet_lite0.yaml says

Without THREADS the interpreter is opened as most people open it, which gives it one.
"""

import pathlib
import sys

import numpy
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

model, data, labels = sys.argv[1:4]
threads = int(sys.argv[4]) if len(sys.argv) > 4 else None
classes = {row.split("\t")[1]: int(row.split("\t")[0]) for row in pathlib.Path(labels).read_text().splitlines()[1:]}
interpreter = Interpreter(model, num_threads=threads)
interpreter.allocate_tensors()
taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
right = count = 0
for file in sorted(pathlib.Path(data).iterdir()):
    image = Image.open(file).convert("RGB")
    short, long = sorted(image.size)
    longer = int(256 * long / short)
    image = image.resize((256, longer) if image.width <= image.height else (longer, 256), Image.Resampling.BICUBIC)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    array = (numpy.asarray(image.crop((left, top, left + 224, top + 224)), numpy.float32) - 127) / 128
    if taken["dtype"] != numpy.float32:
        scale, zero = taken["quantization"]
        array = numpy.clip(numpy.round(array / scale) + zero, -128, 127).astype(taken["dtype"])
    interpreter.set_tensor(taken["index"], array[None])
    interpreter.invoke()
    right += int(interpreter.get_tensor(given["index"])[0].argmax() == classes[file.name.split("_")[0]])
    count += 1
print(right / count)
