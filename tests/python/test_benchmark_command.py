"""`wherry benchmark`: what it measures is there and hangs together; no times are asserted."""

import pytest

NET = """
wherry: 1
name: tiny
model:
  inputs: {image: "float32[1, 3, 32, 32]"}
  layers:
    conv: {op: conv2d, in: 3, out: 16, kernel_size: 3, padding: 1}
    relu: {op: relu}
    pool: {op: adaptive_avg_pool2d, output_size: 1}
    flat: {op: flatten, start_dim: 1}
    head: {op: linear, in: 16, out: 5}
  outputs: {scores: head}
"""


@pytest.fixture(scope="module")
def files(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "tiny.yaml").write_text(NET)
    made = [folder / "tiny.tflite", folder / "half.tflite"]
    assert run("convert", folder / "tiny.yaml", "-o", made[0], "--seed", 1).code == 0
    assert run("convert", folder / "tiny.yaml", "-o", made[1], "--seed", 1, "--precision", "float16").code == 0
    return made


def test_every_number_is_there(run, files):
    done = run("benchmark", *files, "--threads", 1, 2, "--turns", 3, "--runs", 2, "--json")
    assert done.code == 0, done.err
    first, second = done.json["models"]
    assert (first["precision"], second["precision"]) == ("float32", "float16")
    assert first["bytes"] == files[0].stat().st_size and first["peak_mb"] > 0
    assert [row["threads"] for row in first["threads"]] == [1, 2]
    for row in first["threads"] + second["threads"]:
        assert 0 < row["median_ms"] <= row["p90_ms"] and row["load_ms"] > 0 and row["first_ms"] > 0 and row["per_second"] > 0
    assert all(row["quotient"] == 1 for row in first["threads"])
    assert any("Convolution" in operator["name"] or "CONV_2D" in operator["name"] for operator in first["operators"])
    assert all(operator["count"] >= 1 for operator in first["operators"])
    assert [o["ms"] for o in first["operators"]] == sorted((o["ms"] for o in first["operators"]), reverse=True)


def test_the_table_names_every_file(run, files):
    done = run("benchmark", *files, "--turns", 2, "--runs", 1)
    assert done.code == 0 and all(file.name in done.out for file in files)
    assert max(len(line) for line in done.out.splitlines()) <= 80


def test_what_cannot_be_timed_is_said(run, files, tmp_path):
    done = run("benchmark", files[0], files[0].parent / "tiny.yaml")
    assert done.code == 1 and "E107" in done.err and "wherry convert SRC" in done.err
    (tmp_path / "broken.tflite").write_bytes(files[0].read_bytes()[:1000])
    assert run("benchmark", tmp_path / "broken.tflite").code == 1
    assert run("benchmark", tmp_path / "missing.tflite").code == 1
    assert run("benchmark").code == 2
