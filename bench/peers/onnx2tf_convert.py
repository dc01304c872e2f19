"""Converts with onnx2tf: onnx2tf_convert.py SOURCE OUT.
A SOURCE .pt2 goes through torch.onnx.export first, a SOURCE .onnx does not; an OUT .onnx stops after the export.
The .tflite is float32 with NHWC input."""

import argparse
import os
import pathlib
import shutil
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def export_onnx(source, out):
    import torch

    module = torch.export.load(source).module()
    options = {"input_names": ["image"], "dynamo": True, "external_data": False, "verbose": False}
    torch.onnx.export(module, (torch.zeros(1, 3, 224, 224),), out, **options)


def convert_into(folder, source, **options):
    """A SavedModel and float .tflite files."""
    import numpy
    import onnx2tf

    # onnx2tf runs every model once on sample images; it fetches them unless they lie in the working folder.
    samples = numpy.random.default_rng(0).random((20, 128, 128, 3), dtype=numpy.float32)
    numpy.save("calibration_image_sample_data_20x128x128x3_float32.npy", samples)
    onnx2tf.convert(input_onnx_file_path=str(source), output_folder_path=folder, non_verbose=True, **options)


def convert(source, out):
    convert_into("out", source)
    shutil.move(next(pathlib.Path("out").glob("*_float32.tflite")), out)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    source, out = args.source.resolve(), args.out.resolve()

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if source.suffix == ".pt2":
            onnx = out if out.suffix == ".onnx" else pathlib.Path("model.onnx")
            export_onnx(source, onnx)
            source = onnx
        if out.suffix == ".tflite":
            convert(source, out)


if __name__ == "__main__":
    main()
