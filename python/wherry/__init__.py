"""Wherry carries neural networks from PyTorch to the device, through one text that people can read.

import wherry
wherry.convert("model.pt2", out="model.tflite")               # a file
wherry.convert(module, (example,), "model.tflite")            # a live PyTorch module, verified against PyTorch itself
model = wherry.load("model.yaml")                             # text + weights: run it, look at it, save it
"""

from wherry._environment import prepare as _prepare

_prepare()

from wherry._convert import Conversion, convert  # noqa: E402
from wherry._errors import Mismatch, WherryError  # noqa: E402
from wherry._keras import from_keras  # noqa: E402
from wherry._model import Model, TfliteModel, load  # noqa: E402
from wherry._torch import from_torch  # noqa: E402
from wherry._weights import save_weights  # noqa: E402
from wherry._wherry import __version__, operators  # noqa: E402

__all__ = [
    "Conversion",
    "Mismatch",
    "Model",
    "TfliteModel",
    "WherryError",
    "__version__",
    "convert",
    "from_keras",
    "from_torch",
    "load",
    "operators",
    "save_weights",
]
