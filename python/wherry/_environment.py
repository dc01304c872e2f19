"""Tells the native half where the block library, LiteRT and this Python are, unless the user has."""

import importlib.util
import os
import sys
from pathlib import Path


def prepare() -> None:
    os.environ.setdefault("WHERRY_LIBRARY", str(Path(__file__).parent / "library"))
    os.environ.setdefault("WHERRY_WORKER", str(Path(__file__).parent / "_worker"))
    if sys.executable:
        os.environ.setdefault("WHERRY_PYTHON", sys.executable)
    if "WHERRY_LITERT" not in os.environ:
        spec = importlib.util.find_spec("ai_edge_litert")
        if spec and spec.submodule_search_locations:
            os.environ["WHERRY_LITERT"] = str(Path(next(iter(spec.submodule_search_locations))) / "libLiteRt.so")
