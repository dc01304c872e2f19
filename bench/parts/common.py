"""Places, how a process is measured, and the form of tables."""

import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = pathlib.Path(os.environ.get("WHERRY_DATA", ROOT.parent / "shared/data"))
BENCH = ROOT / ".bench"
FILES = BENCH / "models"
PEERS = ROOT / "bench/peers"
PYTHON = ROOT / ".venv/bin/python"
LITERT_TORCH = BENCH / "litert-torch/bin/python"
ONNX2TF = BENCH / "onnx2tf/bin/python"
QUANTIZER = BENCH / "litert-quantizer/bin/python"

NAMES = {"fbnet_a": "FBNet-A", "fbnet_b": "FBNet-B", "efficientnet_lite0": "EfficientNet-Lite0"}
ARCHIVES = {
    "fbnet_a": DATA / "fbnet_a.pt2",
    "fbnet_b": DATA / "fbnet_b.pt2",
    "efficientnet_lite0": FILES / "efficientnet_lite0.pt2",
}


@dataclass
class Goal:
    """A number that must be reached: met if `found` is at most `bound`, or at least where `least`."""

    what: str
    wanted: str
    bound: float
    found: float
    shown: str
    least: bool = False

    def met(self) -> bool:
        return self.found >= self.bound if self.least else self.found <= self.bound


@dataclass
class Part:
    """`measure(args)` gives what JSON can hold; `tables` and `goals` are made of it."""

    measure: Callable[[Any], Any]
    tables: Callable[[Any], list[list[str]]]
    goals: Callable[[Any], Iterable[Goal]] = lambda found: []


# ---- processes


def words(line: Iterable[Any]) -> list[str]:
    return [str(part) for part in line]


def measure(line: Iterable[Any], **environment: str) -> dict[str, Any]:
    """Wall time and CPU time in seconds, peak resident memory in MB, of one whole process, and what it printed."""
    line = words(line)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as log:
        start = time.perf_counter()
        child = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd=ROOT, env=os.environ | environment)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        log.seek(0)
        if child.returncode != 0:
            sys.exit(f"{' '.join(line)}: exit {child.returncode}\n{out.read()[-2000:]}\n{log.read()[-2000:]}")
        return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss_mb": usage.ru_maxrss * 1024 / 1e6, "printed": out.read()}


def timed(line: Iterable[Any]) -> dict[str, float]:
    return {key: value for key, value in measure(line).items() if key != "printed"}


def answer(line: Iterable[Any], **environment: str) -> Any:
    """The JSON that a process prints: a whole document, or the last line."""
    printed = measure(line, **environment)["printed"].strip()
    return json.loads(printed if printed.startswith(("{\n", "[\n")) else printed.splitlines()[-1])


def ask(**request: Any) -> Any:
    """bench/inference.py in the environment of LiteRT-Torch."""
    line = [LITERT_TORCH, ROOT / "bench/inference.py"]
    child = subprocess.run(words(line), input=json.dumps(request, default=str), capture_output=True, text=True, cwd=ROOT)
    if child.returncode != 0:
        sys.exit(child.stderr)
    return json.loads(child.stdout)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- numbers


def middle(samples: Iterable[dict[str, float]], key: str) -> float:
    return median(sample[key] for sample in samples)


def interval(successes: int, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion."""
    z, p = 1.96, successes / count
    centre = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return centre - half, min(centre + half, 1.0)


# ---- tables


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def head(*cells: str) -> list[str]:
    return [row(*cells), row(*["---"] * len(cells))]


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1e3 * seconds:.0f} ms"


def threads_text(threads: str | int) -> str:
    return f"{threads} thread{'' if str(threads) == '1' else 's'}"
