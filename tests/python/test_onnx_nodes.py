"""The ONNX project's own node tests: docs/onnx.md says which pass and why the others do not."""

from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")
ROOT = Path(__file__).resolve().parents[2]


def test_node_tests_are_as_documented():
    from onnx_nodes import page, run_all

    documented = (ROOT / "docs/onnx.md").read_text()
    if f"({onnx.__version__})" not in documented:
        pytest.skip(f"docs/onnx.md is of another version than onnx {onnx.__version__}")
    results = run_all()
    wrong = [name for name, reasons in results.items() if reasons[0] == "numbers differ"]
    assert not wrong, "Wherry reads these wrongly: " + ", ".join(wrong)
    assert page(results) == documented, "docs/onnx.md is stale: .venv/bin/python tests/python/onnx_nodes.py > docs/onnx.md"
