"""Quantizes to int8 with TensorFlow's converter, the route of the report: SOURCE.pt2 → onnx2tf → SavedModel → int8 .tflite.

quantize_tensorflow.py SOURCE.pt2 OUT.tflite --calibrate DATA.npy    float32 inputs, channels last, prepared

Inputs and outputs stay float32. Prints one JSON line: seconds of the float conversion and of calibrating and quantizing.
"""

import argparse
import json
import os
import pathlib
import resource
import tempfile
import time

import numpy as np
from onnx2tf_convert import convert_into, export_onnx


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--calibrate", type=pathlib.Path, required=True)
    args = parser.parse_args()
    source, out, data = args.source.resolve(), args.out.resolve(), np.load(args.calibrate, mmap_mode="r")

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        start = time.perf_counter()
        export_onnx(source, "model.onnx")
        convert_into("out", "model.onnx", output_signaturedefs=True)
        import tensorflow as tf

        middle = time.perf_counter()
        converter = tf.lite.TFLiteConverter.from_saved_model("out")
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([np.array(sample[None])] for sample in data)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        out.write_bytes(converter.convert())
        end = time.perf_counter()
    seconds = {"float": round(middle - start, 2), "calibrate and quantize": round(end - middle, 2)}
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"output": str(args.out), "images": len(data), "seconds": seconds, "peak_rss_mb": round(megabytes, 1)}))


if __name__ == "__main__":
    main()
