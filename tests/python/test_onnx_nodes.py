"""The ONNX project's own node tests: docs/onnx.md says which pass and why the others do not."""

import subprocess
import sys
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")
ROOT = Path(__file__).resolve().parents[2]


def test_node_tests_are_as_documented():
    documented = (ROOT / "docs/onnx.md").read_text()
    if f"({onnx.__version__})" not in documented:
        pytest.skip(f"docs/onnx.md is of another version than onnx {onnx.__version__}")
    # In a process of its own: it forks for each test, which is slow from one as large as the suite's.
    found = subprocess.run([sys.executable, ROOT / "tests/python/onnx_nodes.py"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    wrong = [line for line in found.stdout.splitlines() if line.startswith("| numbers differ")]
    assert not wrong, f"Wherry reads these wrongly: {wrong}"
    assert found.stdout == documented, "docs/onnx.md is stale: .venv/bin/python tests/python/onnx_nodes.py > docs/onnx.md"
