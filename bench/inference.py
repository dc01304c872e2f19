"""What a .tflite file does in LiteRT: operators, accuracy, latency. A child of run.py: it reads a JSON request from
stdin and prints a JSON answer. It runs in the environment of LiteRT-Torch, whose LiteRT is pinned."""

import collections
import contextlib
import json
import os
import statistics
import sys
import time

import numpy
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def feed(interpreter, image):
    """Sets the input from an NCHW image, in the layout that the file asks for."""
    [wanted] = interpreter.get_input_details()
    if tuple(wanted["shape"]) != image.shape:
        image = image.transpose(0, 2, 3, 1)
    interpreter.set_tensor(wanted["index"], numpy.ascontiguousarray(image))


def operators(file):
    """The number of operators by builtin, before any delegate takes them."""
    plain = Interpreter(file, experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    return dict(collections.Counter(op["op_name"] for op in plain._get_ops_details()).most_common())


def accuracy(file, expected):
    """The greatest error over the greatest magnitude of the expected output, per count of threads."""
    with numpy.load(expected) as arrays:
        image, output = arrays["input"], arrays["output"]
    errors = {}
    for threads in (1, 2):
        interpreter = Interpreter(file, num_threads=threads)
        interpreter.allocate_tensors()
        feed(interpreter, image)
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        errors[threads] = float(numpy.abs(found - output).max() / numpy.abs(output).max())
    return errors


def float64_error(source, expected):
    """The same measure for PyTorch's own float32 output against its float64 output: what rounding alone costs."""
    import torch

    with numpy.load(expected) as arrays:
        image, output = arrays["input"], arrays["output"]
    with torch.no_grad():
        exact = torch.export.load(source).module().double()(torch.from_numpy(image).double()).numpy()
    return float(numpy.abs(exact - output).max() / numpy.abs(output).max())


def latency(files, expected, threads, alternations, inferences):
    """Milliseconds per inference of each file, one value per alternation; all files take turns in one process."""
    with numpy.load(expected) as arrays:
        image = arrays["input"]
    interpreters = {name: Interpreter(file, num_threads=threads) for name, file in files.items()}
    for interpreter in interpreters.values():
        interpreter.allocate_tensors()
        feed(interpreter, image)
        for _ in range(inferences):
            interpreter.invoke()
    times = {name: [] for name in files}
    order = collections.deque(files)
    for _ in range(alternations):
        order.rotate()
        for name in order:
            invoke = interpreters[name].invoke
            laps = []
            for _ in range(inferences):
                start = time.perf_counter()
                invoke()
                laps.append(time.perf_counter() - start)
            times[name].append(1e3 * statistics.median(laps))
    return times


def main():
    request = json.load(sys.stdin)
    questions = {question.__name__: question for question in (operators, accuracy, float64_error, latency)}
    with contextlib.redirect_stdout(sys.stderr):
        answer = questions[request.pop("what")](**request)
    os.write(sys.stdout.fileno(), json.dumps(answer).encode())


if __name__ == "__main__":
    main()
