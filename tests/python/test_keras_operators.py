"""Every operator example as a .keras archive: Keras, on each of its backends, against the reference evaluator."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="needs Keras")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    named = os.environ.get("WHERRY_BUILD")
    tools = [Path(named) / "tests/dump_keras_examples"] if named else list((ROOT / "build").glob("*/tests/dump_keras_examples"))
    tools = [tool for tool in tools if tool.exists()]
    if not tools:
        pytest.skip("dump_keras_examples is not built: make test builds it")
    made = tmp_path_factory.mktemp("keras_examples")
    subprocess.run([max(tools, key=lambda tool: tool.stat().st_mtime), made], check=True)
    return made


def test_what_keras_cannot_say(folder):
    """The examples that are refused are these and no more."""
    entries = json.loads((folder / "examples.json").read_text())
    assert sum("file" in entry for entry in entries) > 200
    refused = {entry["refused"] for entry in entries if "refused" in entry}
    assert refused == {"'conv_transpose2d' cannot become Keras: Keras takes no stride together with a dilation"}


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_every_example_in_keras(folder, backend):
    if find_spec(backend) is None:
        pytest.skip(f"needs {backend}")
    runner = [sys.executable, ROOT / "tests/python/keras_examples.py", folder, backend]
    done = subprocess.run(runner, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    faults = json.loads(done.stdout.splitlines()[-1])
    assert not faults, "\n".join(f"{example}\n    {fault}" for example, fault in faults.items())
