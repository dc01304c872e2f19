"""Runs a file of another framework for the wherry program: python DIR/_worker, with a socket as standard input.

A message is the length of a JSON header (8 bytes, little endian), the header, and the bytes of the tensors that it lists.
`open` names the file and tells its inputs and outputs; `run` and `layers` take tensors and give tensors. Only NumPy and the
file's framework are needed: the folder stands alone, so that any Python environment can run it.
"""

import importlib
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

RUNNERS = {".keras": "run_keras", ".onnx": "run_onnx", ".pt2": "run_pt2", ".py": "run_source"}


class Refused(Exception):
    """What a runner says of a file that it cannot take."""


def fault(error: BaseException) -> dict[str, str]:
    """An exception as the reader sees it: what is missing, or its last words without the stack."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return {"missing": error.name.split(".")[0]}
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else ""
    return {"error": text if isinstance(error, Refused) else f"{type(error).__name__}: {text}"}


def receive(channel: BinaryIO) -> tuple[dict[str, Any], list[Any]] | None:
    """The next message, or None when the program has gone."""
    length = channel.read(8)
    if len(length) < 8:
        return None
    header = json.loads(channel.read(int.from_bytes(length, "little")))
    tensors = []
    for item in header.get("tensors", []):
        import numpy as np

        dtype = numpy_dtype(item["dtype"])
        count = 1
        for size in item["shape"]:
            count *= size
        data = channel.read(count * dtype.itemsize)
        tensors.append(np.frombuffer(data, dtype).reshape(item["shape"]))
    return header, tensors


def send(channel: BinaryIO, header: dict[str, Any], tensors: list[Any]) -> None:
    arrays = []
    if tensors:  # a Python without NumPy can still say that it has none
        import numpy as np

        arrays = [np.ascontiguousarray(t).reshape(np.shape(t)) for t in tensors]
    header["tensors"] = [{"dtype": dtype_name(a.dtype), "shape": list(a.shape)} for a in arrays]
    text = json.dumps(header).encode()
    channel.write(len(text).to_bytes(8, "little"))
    channel.write(text)
    for array in arrays:
        channel.write(array.tobytes())
    channel.flush()


def numpy_dtype(name: str) -> Any:
    import numpy as np

    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def dtype_name(dtype: Any) -> str:
    return {"bool_": "bool"}.get(dtype.name, dtype.name)


def open_file(header: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The runner of a file, and what the program wants to know of it."""
    file = Path(header["file"])
    suffix = file.suffixes[-3] if file.suffix == ".part" and len(file.suffixes) > 2 else file.suffix  # NAME.keras.123.part
    module = RUNNERS.get(suffix)
    if module is None:
        raise Refused(f"no framework is known that runs '{suffix}'")
    runner = importlib.import_module(module).open_file(file, header)
    return runner, {
        "what": runner.what, "inputs": runner.inputs, "outputs": runner.outputs, "provenance": getattr(runner, "provenance", ""),
    }  # fmt: skip


def serve(channel: BinaryIO) -> None:
    runner = None
    while (message := receive(channel)) is not None:
        header, tensors = message
        reply: dict[str, Any] = {}
        results: list[Any] = []
        try:
            if header["call"] == "open":
                runner, reply = open_file(header)
            else:
                call: Callable = getattr(runner, header["call"])
                found = call(tensors)
                if isinstance(found, dict):
                    reply["names"] = list(found)
                    found = list(found.values())
                results = list(found)
        except BaseException as error:  # whatever a framework throws becomes a message
            reply, results = fault(error), []
        send(channel, reply, results)


def main() -> None:
    connection = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what frameworks print must not be mistaken for an answer
    with connection.makefile("rwb") as channel:
        serve(channel)
    sys.stderr.flush()
    os._exit(0)  # frameworks take seconds to leave in good order


main()
