#!/usr/bin/env python3
"""Measures Wherry against its peers in one run and writes the table of docs/benchmarks.md.

    bench/run.py                        everything: convert, files, accuracy, operators, latency, render
    bench/run.py latency render         some of it; the rest is kept from the last run
    bench/run.py --wherry build/release/wherry convert

Needs what bench/setup_peers.sh installs. Standard library only: a child's peak memory counts what its parent held at
the fork, so this process stays small, and all that needs numpy or LiteRT is a child of its own (inference.py).
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys
import time

import render

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = pathlib.Path(os.environ.get("WHERRY_DATA", ROOT.parent / "shared/data"))
BENCH = ROOT / ".bench"
FILES = BENCH / "models"
RESULTS = BENCH / "results.json"
LITERT_TORCH = BENCH / "litert-torch/bin/python"
ONNX2TF = BENCH / "onnx2tf/bin/python"
PEERS = ROOT / "bench/peers"
PARTS = ["convert", "files", "accuracy", "operators", "latency", "render"]

SOURCES = {
    "fbnet_a": DATA / "fbnet_a.pt2",
    "fbnet_b": DATA / "fbnet_b.pt2",
    "efficientnet_lite0": FILES / "efficientnet_lite0.pt2",
}
MEASURED_LATENCY = ["fbnet_a", "efficientnet_lite0"]


def expected(model):
    return SOURCES[model].with_suffix(".expected.npz")


def out(model, tool):
    return FILES / f"{model}.{tool}.tflite"


def command(tool, source, target, wherry):
    """The command line by which a tool converts one file."""
    return {
        "wherry": [wherry, "convert", source, "-o", target, "--no-verify"],
        "wherry-verified": [wherry, "convert", source, "-o", target],
        "litert-torch": [LITERT_TORCH, PEERS / "litert_torch_convert.py", source, target],
        "onnx2tf": [ONNX2TF, PEERS / "onnx2tf_convert.py", source, target],
        "onnx2tf-from-onnx": [ONNX2TF, PEERS / "onnx2tf_convert.py", source.with_suffix(".onnx"), target],
    }[tool]


def words(line):
    return [str(part) for part in line]


def measure(line):
    """Wall time and CPU time in seconds, peak resident memory in MB, of one whole process."""
    with open(BENCH / "last.log", "w+") as log:
        start = time.perf_counter()
        child = subprocess.Popen(words(line), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            log.seek(0)
            sys.exit(f"{' '.join(words(line))}: exit {child.returncode}\n{log.read()[-2000:]}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "rss_mb": usage.ru_maxrss * 1024 / 1e6}


def convert(args):
    """Rounds of: several runs of Wherry, then one of a peer, so that a peer is compared with its neighbours in time."""
    source = FILES / "fbnet_a.pt2"
    if not source.exists():
        source.symlink_to(SOURCES["fbnet_a"])
    if not source.with_suffix(".onnx").exists():
        measure([ONNX2TF, PEERS / "onnx2tf_convert.py", source, source.with_suffix(".onnx")])
    target = FILES / "timed.tflite"
    peers = ["litert-torch", "onnx2tf", "onnx2tf-from-onnx"]
    for tool in ["wherry", "wherry-verified", *peers]:  # files and programs come into the page cache
        measure(command(tool, source, target, args.wherry))
    rounds = []
    for number in range(args.rounds):
        for peer in peers:
            ours = {"wherry": [], "wherry-verified": []}
            for _ in range(args.runs):
                for tool, samples in ours.items():
                    samples.append(measure(command(tool, source, target, args.wherry)))
            theirs = measure(command(peer, source, target, args.wherry))
            rounds.append({"peer": peer, "ours": ours, "theirs": theirs})
            print(f"convert: round {number + 1} of {args.rounds}, {peer} {theirs['wall']:.1f} s", file=sys.stderr)
    return rounds


def files(args):
    """Writes each tool's file of each model. Ours is always written anew, the peers' once."""
    for model, source in SOURCES.items():
        measure(command("wherry", source, out(model, "wherry"), args.wherry))
        for tool in ["litert-torch", "onnx2tf"]:
            if not out(model, tool).exists():
                measure(command(tool, source, out(model, tool), args.wherry))
    return {path.name: path.stat().st_size for path in sorted(FILES.glob("*.*.tflite"))}


def ask(**request):
    line = [LITERT_TORCH, ROOT / "bench/inference.py"]
    child = subprocess.run(line, input=json.dumps(request, default=str), capture_output=True, text=True, cwd=ROOT)
    if child.returncode != 0:
        sys.exit(child.stderr)
    return json.loads(child.stdout)


def tools_of(model):
    return {tool: out(model, tool) for tool in ["wherry", "litert-torch", "onnx2tf"]}


def accuracy(args):
    found = {}
    for model, source in SOURCES.items():
        found[model] = {"pytorch": ask(what="float64_error", source=source, expected=expected(model))}
        for tool, file in tools_of(model).items():
            found[model][tool] = ask(what="accuracy", file=file, expected=expected(model))
    return found


def operators(args):
    found = {}
    for model in SOURCES:
        found[model] = {tool: ask(what="operators", file=file) for tool, file in tools_of(model).items()}
    return found


def latency(args):
    """Per model and count of threads: lists of milliseconds by tool, index by index measured side by side."""
    found = {}
    for model in MEASURED_LATENCY:
        for threads in (1, 2):
            turns = list((tools_of(model) | {"control": out(model, "litert-torch")}).items())
            times = {tool: [] for tool, _ in turns}
            for _ in range(args.processes):
                turns = turns[1:] + turns[:1]
                answer = ask(
                    what="latency",
                    files=dict(turns),
                    expected=expected(model),
                    threads=threads,
                    alternations=args.alternations,
                    inferences=args.inferences,
                )
                for tool in times:
                    times[tool] += answer[tool]
            found.setdefault(model, {})[str(threads)] = times
            print(f"latency: {model}, {threads} thread(s)", file=sys.stderr)
    return found


def first_line(line):
    return subprocess.run(words(line), capture_output=True, text=True).stdout.strip().split("\n")[0]


def pins(name):
    """Version by package of one peer's environment."""
    return dict(line.replace("_", "-").split("==") for line in (PEERS / f"{name}.txt").read_text().split())


def context(args):
    """What the numbers depend on; nothing that names this machine."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    cpu = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    return {
        "date": datetime.datetime.now().isoformat(timespec="seconds"),
        "cpu": f"{len(cpu)} cores, {cpu[0]}",
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "nice": os.nice(0),
        "wherry": first_line([args.wherry, "--version"]),
        "commit": first_line(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]),
        "peers": {name: pins(name) for name in ("litert-torch", "onnx2tf")},
    }


def stored():
    """What was measured last, by part."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--wherry", default=str(ROOT / ".venv/bin/wherry"), help="the command to measure")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each peer's conversion")
    parser.add_argument("--runs", type=int, default=7, help="runs of ours before each of the peers'")
    parser.add_argument("--processes", type=int, default=20, help="processes per latency measurement")
    parser.add_argument("--alternations", type=int, default=6, help="turns of each file per process")
    parser.add_argument("--inferences", type=int, default=10, help="inferences per turn")
    args = parser.parse_args()
    unknown = set(args.parts) - set(PARTS)
    if unknown:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    parts = args.parts or PARTS
    if parts != ["render"]:
        args.wherry = os.path.abspath(args.wherry)
        if not os.access(args.wherry, os.X_OK):
            sys.exit(f"{args.wherry} is not there: 'make build' makes it, --wherry names another")
        if not LITERT_TORCH.exists() or not ONNX2TF.exists():
            sys.exit("the peers are not installed: run bench/setup_peers.sh")
    for part in PARTS:
        if part in parts and part != "render":
            now = context(args)
            found = globals()[part](args)
            RESULTS.write_text(json.dumps(stored() | {part: {"context": now, "found": found}}, indent=1))
    if "render" in parts:
        render.write(stored(), ROOT / "docs/benchmarks.md")


if __name__ == "__main__":
    main()
