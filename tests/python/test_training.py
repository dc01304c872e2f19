"""One epoch on generated data lowers the loss in every framework, from one text; and the weights come back (bench/training.py)."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("wherry")
TRAINING = Path(__file__).resolve().parents[2] / "bench/training.py"
NEEDS = {"PyTorch": ("torch",), "JAX": ("jax", "optax")}


@pytest.mark.parametrize("framework", ["PyTorch", "JAX", "Keras:tensorflow:source", "Keras:jax:source", "Keras:torch:source"])
def test_an_epoch_lowers_the_loss_and_the_text_takes_the_weights(framework):
    for package in NEEDS.get(framework, ("keras", framework.split(":")[-2:][0])):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}")
    command = [sys.executable, TRAINING, "--frameworks", framework, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    assert done.returncode == 0, done.stderr[-3000:]
    (row,) = json.loads(done.stdout.splitlines()[-1])
    assert row["before"] == pytest.approx(1.384, abs=1e-3) and row["after"] < row["before"] / 4
    assert row["tflite_error"] < 3e-5
    statistics = 14 if framework == "JAX" else 0  # which stand still there
    assert row["moved"] == row["weights"] - statistics == 37 - statistics
