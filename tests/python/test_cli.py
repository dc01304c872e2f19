"""The command line is a contract: verbs, exit codes, JSON keys, files written whole or not at all."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = """\
wherry: 1
name: small
model:
  inputs: {image: "float32[1, 3, 16, 16]"}
  layers:
    conv: {op: conv2d, in: 3, out: 8, kernel_size: 3, stride: 2, padding: 1}
    bn:   {op: batch_norm, features: 8}
    relu: {op: relu}
    pool: {op: adaptive_avg_pool2d, output_size: 1}
    flat: {op: flatten, start_dim: 1}
    head: {op: linear, in: 8, out: 5}
  outputs: {logits: head}
"""


@pytest.fixture
def small(tmp_path):
    (tmp_path / "small.yaml").write_text(SMALL)
    return tmp_path / "small.yaml"


VERBS = ["import", "convert", "show", "check", "verify", "compare", "ops", "doctor"]


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_and_fits_a_terminal(run, verb):
    done = run(verb, "--help")
    assert done.code == 0 and "Examples:" in done.out and f"wherry {verb}" in done.out and "--json" in done.out
    assert max(len(line) for line in done.out.splitlines()) <= 80


WRONG = """
convrt
convert
convert x.pt2
convert x.pt2 -o y.tflite --precision int3
convert x.pt2 -o y.tflite --dim batch
import x.pt2 -o y.tflite
"""


@pytest.mark.parametrize("arguments", [line.split() for line in WRONG.split("\n")[:-1]], ids=" ".join)
def test_a_wrong_command_line_is_two(run, arguments):
    done = run(*arguments)
    assert done.code == 2 and done.err


def test_version(run):
    assert run("--version").out.startswith("wherry 0.")


def test_convert_json_has_the_documented_keys(run, small, tmp_path):
    done = run("convert", small, "--seed", 1, "-o", tmp_path / "small.tflite", "--json")
    assert done.code == 0, done.err
    assert {"output", "bytes", "seconds", "peak_rss_mb", "verified", "max_abs_error", "sqnr_db", "ops"} <= done.json.keys()
    assert done.json["verified"] is True and done.json["bytes"] == (tmp_path / "small.tflite").stat().st_size
    assert list(done.json["seconds"]) == ["import", "passes", "lower", "write", "verify"]
    assert done.json["ops"] == {"PAD": 1, "CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1}  # norm and relu are folded
    assert done.json["inputs"] == [{"name": "image", "type": "float32[1, 16, 16, 3]"}]


def test_convert_is_byte_identical(run, small, tmp_path):
    for name in ("a.tflite", "b.tflite"):
        assert run("convert", small, "--seed", 1, "-o", tmp_path / name).code == 0
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_io_nchw_keeps_the_sources_order(run, small, tmp_path):
    done = run("convert", small, "--seed", 1, "-o", tmp_path / "small.tflite", "--io", "nchw", "--json")
    assert done.json["inputs"][0]["type"] == "float32[1, 3, 16, 16]" and done.json["io"] == "nchw" and done.json["verified"]


def test_float16_halves_the_file(run, small, tmp_path):
    full = run("convert", small, "--seed", 1, "-o", tmp_path / "f.tflite", "--json").json
    half = run("convert", small, "--seed", 1, "-o", tmp_path / "h.tflite", "--precision", "float16", "--json").json
    assert half["verified"] and half["ops"]["DEQUANTIZE"] > 0 and half["bytes"] < full["bytes"] * 1.2
    assert 0 < half["relative_error"] < 2e-2


def test_a_mismatch_is_three_and_leaves_nothing(run, small, tmp_path):
    done = run("convert", small, "--seed", 1, "-o", tmp_path / "small.tflite", "--precision", "float16", "--tolerance", 1e-9)
    assert done.code == 3 and "E703" in done.err and "is the first layer that differs" in done.err
    assert [p.name for p in tmp_path.iterdir()] == ["small.yaml"]


def test_verify_names_the_first_layer_that_differs(run, small, tmp_path):
    assert run("convert", small, "--seed", 1, "-o", tmp_path / "one.tflite").code == 0
    same = run("verify", small, tmp_path / "one.tflite", "--seed", 1, "--layers", "--json")
    assert same.code == 0 and same.json["match"] and same.json["first_mismatch"] is None
    assert [layer["name"] for layer in same.json["layers"]][-1] == "head"
    other = run("verify", small, tmp_path / "one.tflite", "--seed", 2, "--layers", "--json")
    assert other.code == 3 and not other.json["match"] and other.json["first_mismatch"] == "relu"  # conv, bn and relu are one operator


def test_import_of_a_text_writes_text_and_weights(run, small, tmp_path):
    assert run("import", small, "--seed", 3, "-o", tmp_path / "out.yaml").code == 0
    assert run("import", tmp_path / "out.yaml", "-o", tmp_path / "again.json").code == 0
    assert run("import", tmp_path / "again.json", "-o", tmp_path / "back.yaml").code == 0
    lines = [(tmp_path / name).read_text().replace(name[:-5] + ".safetensors", "W") for name in ("out.yaml", "back.yaml")]
    assert lines[0] == lines[1]
    assert (tmp_path / "out.safetensors").read_bytes() == (tmp_path / "back.safetensors").read_bytes()
    assert run("verify", tmp_path / "out.yaml", tmp_path / "back.yaml", "--tolerance", 0).code == 0


def test_show_every_kind(run, small, tmp_path):
    run("import", small, "--seed", 1, "-o", tmp_path / "m.yaml")
    run("convert", tmp_path / "m.yaml", "-o", tmp_path / "m.tflite")
    text = run("show", small)
    assert text.code == 0 and "conv  conv2d" in text.out and all(len(line) <= 80 for line in text.out.splitlines())
    assert run("show", tmp_path / "m.yaml", "--json").json["parameters"] == 8 * 27 + 8 + 4 * 8 + 8 * 5 + 5
    assert "CONV_2D" in run("show", tmp_path / "m.tflite").out
    assert "conv.weight" in run("show", tmp_path / "m.safetensors").out


def test_check_says_all_at_once(run, small):
    assert run("check", small, "--seed", 1, "--json").json["transposes"] == 0


def test_ops_lists_and_explains(run):
    assert "conv2d" in run("ops").out
    card = run("ops", "conv2d")
    assert card.code == 0 and "kernel_size" in card.out and "aten.conv2d.default" in card.out
    wrong = run("ops", "conv2")
    assert wrong.code == 1 and "did you mean 'conv2d'?" in wrong.err


def test_doctor(run):
    done = run("doctor", "--json")
    assert done.code == 0 and {f["what"] for f in done.json["findings"]} >= {"wherry", "LiteRT", "block library"}
    lost = run("doctor", env={"WHERRY_LITERT": "/nowhere"})
    assert lost.code == 1 and "pip install ai-edge-litert" in lost.out


def test_nothing_is_written_to_stdout_but_json(run, small, tmp_path):
    done = run("convert", small, "--seed", 1, "-o", tmp_path / "s.tflite", "--json")
    json.loads(done.out)
    assert run("convert", small, "--seed", 1, "-o", tmp_path / "s.tflite", "--quiet").out == ""


def test_symbolic_dimensions_need_a_size(run, small, tmp_path):
    small.write_text(SMALL.replace("float32[1,", "float32[batch,"))
    done = run("convert", small, "--seed", 1, "-o", tmp_path / "s.tflite")
    assert done.code == 1 and "E504" in done.err and "--dim batch=1" in done.err
    assert (
        run("convert", small, "--seed", 1, "-o", tmp_path / "s.tflite", "--dim", "batch=2", "--json").json["inputs"][0]["type"]
        == "float32[2, 16, 16, 3]"
    )
    wrong = run("convert", small, "--seed", 1, "-o", tmp_path / "t.tflite", "--dim", "bach=2")
    assert wrong.code == 1 and "did you mean 'batch'?" in wrong.err


def test_generated_pages_are_fresh(run):
    for page, option in (("operators.md", "--markdown"), ("errors.md", "--errors"), ("wherry.schema.json", "--schema")):
        assert (ROOT / "docs" / page).read_text() == run("ops", option).out, f"docs/{page} is stale: run 'make docs'"


def test_python_package_needs_no_framework():
    code = "import sys, wherry; assert not {'torch', 'tensorflow', 'jax'} & set(sys.modules); print(wherry.__version__)"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
