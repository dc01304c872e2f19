#!/usr/bin/env python3
"""Measures Wherry against its peers and writes the tables of docs/benchmarks.md.

    bench/run.py                        everything, about an hour and a half on two cores
    bench/run.py latency                some of it; the rest is kept from the last run
    bench/run.py render                 nothing: only writes the page anew from .bench/results.json
    bench/run.py --wherry build/release/wherry convert

Needs what bench/setup_peers.sh and `make test` install, and ../shared/data (or $WHERRY_DATA).
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

from parts import conversion, evaluation, formats, quantization, targets, zoo
from parts.common import BENCH, LITERT_TORCH, ONNX2TF, PEERS, QUANTIZER, ROOT, head, row, say, words

PARTS = conversion.PARTS | formats.PARTS | quantization.PARTS | evaluation.PARTS | targets.PARTS | zoo.PARTS
RESULTS = BENCH / "results.json"
PAGE = ROOT / "docs/benchmarks.md"


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
        "date": datetime.date.today().isoformat(),
        "machine": f"{len(cpu)} cores, {cpu[0]}, {round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9)} GB",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "wherry": first_line([args.wherry, "--version"]),
        "commit": first_line(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]),
    }


def stored():
    """What was measured last, by part."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


# ---- the page


def versions():
    shown = []
    for name, packages in {
        "litert-torch": ["litert-torch", "ai-edge-litert"],
        "onnx2tf": ["onnx2tf", "tensorflow-cpu", "onnxscript"],
        "litert-quantizer": ["litert-quantizer"],
    }.items():
        known = pins(name)
        shown += [f"{package} {known[package]}" for package in packages]
    return ", ".join(shown)


def goal_section(results):
    rows = head("what", "goal", "found", "reached", "part")
    for name, part in PARTS.items():
        if name in results:
            for goal in part.goals(results[name]["found"]):
                rows.append(row(goal.what, goal.wanted, goal.shown, "yes" if goal.met() else "**no**", f"`{name}`"))
    return "\n".join([f"Peers: {versions()}; PyTorch 2.13.0.", "", *rows])


def part_section(name, result):
    now = result["context"]
    said = f"`bench/run.py {name}`, {now['date']}, commit {now['commit']}, load {now['load']:.1f}; {now['machine']}, {now['system']}."
    tables = ["\n".join(table) for table in PARTS[name].tables(result["found"])]
    return "\n\n".join([said, *tables])


def render(results):
    """Writes each section between its two markers."""
    text = PAGE.read_text()
    sections = {"goals": goal_section(results)} | {name: part_section(name, results[name]) for name in PARTS if name in results}
    for name, section in sections.items():
        begin, end = f"<!-- begin: {name} -->", f"<!-- end: {name} -->"
        if begin not in text or end not in text:
            sys.exit(f"docs/benchmarks.md has no place for '{name}': it needs the lines {begin} and {end}")
        text = f"{text.split(begin)[0]}{begin}\n{section}\n{end}{text.split(end)[1]}"
    PAGE.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}, render; all by default")
    parser.add_argument("--wherry", default=str(ROOT / ".venv/bin/wherry"), help="the command to measure")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each peer")
    parser.add_argument("--runs", type=int, default=7, help="runs of ours before each of a peer's conversions")
    parser.add_argument("--processes", type=int, default=20, help="processes per latency measurement")
    parser.add_argument("--alternations", type=int, default=6, help="turns of each file per process")
    parser.add_argument("--inferences", type=int, default=10, help="inferences per turn")
    args = parser.parse_args()
    if unknown := set(args.parts) - set(PARTS) - {"render"}:
        parser.error(f"unknown part {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    chosen = args.parts or list(PARTS)
    if chosen != ["render"]:
        args.wherry = os.path.abspath(args.wherry)
        if not os.access(args.wherry, os.X_OK):
            sys.exit(f"{args.wherry} is not there: 'make build' makes it, --wherry names another")
        if missing := [name for name in (LITERT_TORCH, ONNX2TF, QUANTIZER) if not name.exists()]:
            sys.exit(f"{missing[0]} is not there: run bench/setup_peers.sh")
    for name in PARTS:
        if name in chosen:
            say(f"{name}: begins")
            now = context(args)
            found = PARTS[name].measure(args)
            RESULTS.write_text(json.dumps(stored() | {name: {"context": now, "found": found}}, indent=1))
    render(stored())


if __name__ == "__main__":
    main()
