"""An .onnx file in ONNX Runtime."""

from pathlib import Path
from typing import Any

import onnxruntime

DTYPES = {"float": "float32", "double": "float64", "float16": "float16", "bfloat16": "bfloat16", "bool": "bool"}


class Runner:
    provenance = ""

    def __init__(self, file: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.provenance = self.session.get_modelmeta().custom_metadata_map.get("WHERRY_PROVENANCE", "")
        self.what = f"{file.name} in ONNX Runtime {onnxruntime.__version__}"
        self.inputs = [port(i) for i in self.session.get_inputs()]
        self.outputs = [port(o) for o in self.session.get_outputs()]

    def run(self, tensors: list[Any]) -> list[Any]:
        return self.session.run(None, dict(zip([i["name"] for i in self.inputs], tensors, strict=True)))

    def layers(self, tensors: list[Any]) -> dict[str, Any]:
        return dict(zip([o["name"] for o in self.outputs], self.run(tensors), strict=True))


def port(argument: Any) -> dict[str, Any]:
    kind = argument.type.removeprefix("tensor(").removesuffix(")")
    return {"name": argument.name, "dtype": DTYPES.get(kind, kind), "shape": argument.shape}


def open_file(file: Path, header: dict[str, Any]) -> Runner:
    return Runner(file, header["threads"])
