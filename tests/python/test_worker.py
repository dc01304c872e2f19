"""Files of other frameworks, run in those frameworks by a Python process of the program's own."""

import sys
import zipfile

import pytest

torch = pytest.importorskip("torch")


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image, bias):
        return {"map": torch.relu(self.conv(image)), "sum": image.mean() + bias}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    file = tmp_path_factory.mktemp("worker") / "small.pt2"
    torch.manual_seed(0)
    program = torch.export.export(Small().eval(), (torch.zeros(1, 3, 8, 8), torch.zeros(2)))
    torch.export.save(program, file)
    return file


PYTHON = {"WHERRY_PYTHON": sys.executable}


def test_an_archive_runs_in_pytorch_itself(run, archive, tmp_path):
    """Both ways of running one archive, and the outputs by name."""
    done = run("import", archive, "-o", tmp_path / "small.yaml")
    assert done.code == 0, done.err
    found = run("verify", archive, tmp_path / "small.yaml", "--json").json
    assert found["match"] and found["max_abs_error"] < 1e-5
    done = run("verify", archive, archive, "--in-framework", env=PYTHON)
    assert done.code == 0 and f"in PyTorch {torch.__version__}" in done.out, done.err


def test_a_missing_framework_is_named_with_its_pip_command(run, tmp_path):
    """A Python without packages: what is missing is said, and no stack is shown."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys._base_executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    for name, extra in (("m.keras", "wherry[keras]"), ("m.onnx", "wherry[onnx]")):
        file = tmp_path / name
        with zipfile.ZipFile(file, "w") as made:
            made.writestr("config.json", "{}")
        done = run("verify", file, file, env={"WHERRY_PYTHON": str(bare)})
        assert done.code == 1 and "E706" in done.err and extra in done.err, done.err


@pytest.mark.parametrize(
    ("target", "module", "command"),
    [
        (("--to", "torch", "m.py"), "torch", "'wherry[torch]'"),
        (("--to", "torch", "m.py"), "safetensors", "safetensors"),
        (("--to", "keras", "m.py"), "keras", "'wherry[keras]'"),
        (("--to", "jax", "m.py"), "jax", "'wherry[jax]'"),
        (("--to", "nnx", "m.py"), "flax", "'wherry[jax]'"),
        (("m.keras",), "keras", "'wherry[keras]'"),
        (("--nested", "m.keras"), "keras", "'wherry[keras]'"),
        (("m.onnx",), "onnxruntime", "wherry[onnx]"),
    ],
    ids=lambda value: value[-2] + value[-1] if isinstance(value, tuple) and len(value) > 1 else None,
)
def test_each_road_names_what_installs_its_framework(run, archive, tmp_path, without, target, module, command):
    """The file is written all the same, for another machine."""
    *options, name = target
    done = run("convert", archive, *options, "-o", tmp_path / name, env=without(module))
    assert done.code == 0 and (tmp_path / name).exists(), done.err
    assert f"pip install {command}" in done.err.replace('"', "'").replace("''", "'") or f"pip install '{command}'" in done.err.replace(
        '"', "'"
    )


def test_no_python_at_all(run, tmp_path):
    (tmp_path / "m.keras").write_bytes(b"")
    done = run("verify", tmp_path / "m.keras", tmp_path / "m.keras", env={"WHERRY_PYTHON": "/nowhere/python"})
    assert done.code == 1 and "E706" in done.err and "WHERRY_PYTHON" in done.err


def test_what_a_framework_says_of_a_damaged_file(run, tmp_path):
    """The framework's last words become one message."""
    (tmp_path / "broken.pt2").write_bytes(b"no archive")
    done = run("verify", tmp_path / "broken.pt2", tmp_path / "broken.pt2", "--in-framework", env=PYTHON)
    assert done.code == 1 and "E707" in done.err and "broken.pt2" in done.err


def test_a_python_that_dies_is_a_message(run, tmp_path):
    quitter = tmp_path / "python"
    quitter.write_text("#!/bin/sh\necho gone away >&2\nexit 7\n")
    quitter.chmod(0o755)
    (tmp_path / "m.keras").write_bytes(b"")
    done = run("verify", tmp_path / "m.keras", tmp_path / "m.keras", env={"WHERRY_PYTHON": str(quitter)})
    assert done.code == 1 and "E707" in done.err and "gone away" in done.err
