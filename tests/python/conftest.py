"""What the Python tests share: the command, its JSON, and the photographs and networks that lie beside the repository."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).parent / "wherry"


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture(scope="session")
def run():
    """run("convert", …) → exit code, stdout, stderr. The command line as a user has it."""
    if not COMMAND.exists():
        pytest.skip("the command is not installed beside this Python; 'make build' does it")

    def call(*arguments, cwd=None, env=None, limit=None):
        command = [str(COMMAND), *map(str, arguments)]
        if limit is not None:  # the largest file that may be written, in KiB
            command = ["bash", "-c", f'ulimit -f {limit}; exec "$0" "$@"', *command]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **(env or {})}, timeout=120, check=False)
        assert "Traceback" not in done.stderr and "internal error" not in done.stderr, done.stderr
        assert done.returncode in (0, 1, 2, 3), f"{arguments} died with {done.returncode}: {done.stderr}"
        return Result(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def without(tmp_path):
    """without("torch", …) → the environment of a command whose Python does not have these modules."""

    def hide(*modules):
        python = tmp_path / f"python-without-{'-'.join(modules)}"
        start = f"import runpy, sys; sys.modules.update(dict.fromkeys({list(modules)!r})); sys.argv = sys.argv[1:]; "
        python.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c \"{start}runpy.run_path(sys.argv[0], run_name='__main__')\" \"$@\"\n")
        python.chmod(0o755)
        return {"WHERRY_PYTHON": str(python)}

    return hide


@pytest.fixture(scope="session")
def data():
    """The folder with FBNet-A and B and the photographs; tests that need it skip where it is not."""
    folder = Path(os.environ.get("WHERRY_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "fbnet_a.pt2").exists():
        pytest.skip("needs shared/data (set WHERRY_DATA)")
    return folder
