"""Turns the results of run.py into the table of docs/benchmarks.md, between its two markers."""

from statistics import median

BEGIN, END = "<!-- begin: bench/run.py -->", "<!-- end: bench/run.py -->"
NAMES = {"fbnet_a": "FBNet-A", "fbnet_b": "FBNet-B", "efficientnet_lite0": "EfficientNet-Lite0"}
LATENCY_BOUND = {"fbnet_a": 0.97, "efficientnet_lite0": 1.0}


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def head(*cells):
    return [row(*cells), row(*["---"] * len(cells))]


def duration(seconds):
    return f"{seconds:.1f} s" if seconds >= 1 else f"{1e3 * seconds:.0f} ms"


def convert_rows(rounds):
    """One row per way of converting: medians, and for a peer the median over its rounds of theirs ÷ ours."""
    columns = ["wall", "CPU", "peak memory", "÷ wherry --no-verify", "÷ wherry verified"]
    rows = head("FBNet-A, .pt2 → .tflite, whole process", *columns)
    groups = {}
    for one in rounds:
        for tool, samples in one["ours"].items():
            groups.setdefault(tool, []).extend(samples)
        groups.setdefault(one["peer"], []).append(one["theirs"])
    labels = {
        "wherry": "`wherry convert --no-verify`",
        "wherry-verified": "`wherry convert`, verified in LiteRT",
        "litert-torch": "LiteRT-Torch",
        "onnx2tf": "torch.onnx.export, then onnx2tf",
        "onnx2tf-from-onnx": "onnx2tf from the .onnx, export not counted",
    }
    for tool, label in labels.items():
        samples = groups[tool]
        ratios = ["", ""]
        if tool not in rounds[0]["ours"]:
            ratios = [f"{ratio(rounds, tool, ours):.0f}" for ours in ("wherry", "wherry-verified")]
        wall, cpu, rss = (median(sample[key] for sample in samples) for key in ("wall", "cpu", "rss_mb"))
        rows.append(row(label, duration(wall), duration(cpu), f"{rss:.0f} MB", *ratios))
    return rows


def ratio(rounds, peer, ours):
    """The median over the rounds with one peer of its time ÷ the median of ours in that round."""
    pairs = [(one["theirs"]["wall"], one["ours"][ours]) for one in rounds if one["peer"] == peer]
    return median(theirs / median(sample["wall"] for sample in samples) for theirs, samples in pairs)


def accuracy_rows(found):
    rows = head("error ÷ greatest output", "wherry", "LiteRT-Torch", "onnx2tf", "PyTorch float32 against float64")
    for model, tools in found.items():
        errors = [f"{max(tools[tool].values()):.1e}" for tool in ("wherry", "litert-torch", "onnx2tf")]
        rows.append(row(NAMES[model], *errors, f"{tools['pytorch']:.1e}"))
    return rows


def operator_rows(found):
    rows = []
    for model, tools in found.items():
        builtins = sorted({name for counts in tools.values() for name in counts})
        rows += ["", *head(f"operators, {NAMES[model]}", "all", *builtins)]
        for tool, counts in tools.items():
            rows.append(row(tool, str(sum(counts.values())), *[str(counts.get(name, 0)) for name in builtins]))
    return rows[1:]


def relative(times, tool, ours="wherry"):
    """The median over all turns of our time ÷ the tool's time in the same turn."""
    return median(mine / theirs for mine, theirs in zip(times[ours], times[tool], strict=True))


def faster_peer(times):
    return min(("litert-torch", "onnx2tf"), key=lambda tool: median(times[tool]))


def latency_rows(found):
    columns = ["wherry", "LiteRT-Torch", "onnx2tf", "wherry ÷ LiteRT-Torch", "wherry ÷ onnx2tf", "control"]
    rows = head("latency in LiteRT", *columns)
    for model, by_threads in found.items():
        for threads, times in by_threads.items():
            milliseconds = [f"{median(times[tool]):.2f} ms" for tool in ("wherry", "litert-torch", "onnx2tf")]
            ratios = [f"{relative(times, tool):.3f}" for tool in ("litert-torch", "onnx2tf")]
            ratios.append(f"{relative(times, 'litert-torch', ours='control'):.3f}")
            rows.append(row(f"{NAMES[model]}, {threads} thread{'s' if threads != '1' else ''}", *milliseconds, *ratios))
    return rows


def goals(results):
    """(what, goal in words, bound, found, found in words) of each number that was measured; met if found <= bound."""
    if "convert" in results:
        rounds = results["convert"]["found"]
        for ours, words, bound in (("wherry", "--no-verify", 200), ("wherry-verified", "verified in LiteRT", 100)):
            times = ratio(rounds, "litert-torch", ours)
            goal = f"≤ 1/{bound} of LiteRT-Torch"
            yield f"FBNet-A to .tflite, {words}: time", goal, 1 / bound, 1 / times, f"1/{times:.0f}"
        peak = median(sample["rss_mb"] for one in rounds for sample in one["ours"]["wherry"])
        yield "FBNet-A to .tflite, --no-verify: peak memory", "≤ 80 MB", 80, peak, f"{peak:.0f} MB"
    if "accuracy" in results:
        for model in ("fbnet_a", "fbnet_b"):
            error = max(results["accuracy"]["found"][model]["wherry"].values())
            yield f"{NAMES[model]}, error ÷ greatest output", "≤ 2e-5", 2e-5, error, f"{error:.1e}"
    if "operators" in results:
        counts = results["operators"]["found"]["fbnet_a"]["wherry"]
        total, transposes = sum(counts.values()), counts.get("TRANSPOSE", 0)
        yield "FBNet-A, operators", "≤ 75", 75, total, str(total)
        yield "FBNet-A, TRANSPOSE", "0", 0, transposes, str(transposes)
    if "latency" in results:
        for model, by_threads in results["latency"]["found"].items():
            for threads, times in by_threads.items():
                found, bound = relative(times, faster_peer(times)), LATENCY_BOUND[model]
                goal = f"≤ {bound:.2f} of the faster peer"
                yield f"{NAMES[model]}, latency, threads: {threads}", goal, bound, found, f"{found:.3f}"


def goal_rows(results):
    rows = head("what", "goal", "found", "reached")
    for what, goal, bound, found, shown in goals(results):
        rows.append(row(what, goal, shown, "yes" if found <= bound else "**no**"))
    return rows


def provenance(results):
    parts = {name: part["context"] for name, part in results.items()}
    now = max(parts.values(), key=lambda context: context["date"])
    torch, onnx = now["peers"]["litert-torch"], now["peers"]["onnx2tf"]
    versions = [f"litert-torch {torch['litert-torch']}", f"ai-edge-litert {torch['ai-edge-litert']}"]
    versions += [f"{name} {onnx[name]}" for name in ("onnx2tf", "tensorflow-cpu", "onnxscript")]
    loads = [f"{name} {c['load']:.1f}, {c['nice']}, {c['commit']}" for name, c in parts.items()]
    return [
        f"Measured {now['date'][:10]} by `bench/run.py` on {now['cpu']}, {now['memory_gb']} GB, {now['system']}.",
        f"{now['wherry']}, PyTorch 2.13.0, {', '.join(versions)}.",
        f"Load of the machine, niceness and commit as each part was measured: {'; '.join(loads)}.",
    ]


TABLES = {"convert": convert_rows, "accuracy": accuracy_rows, "latency": latency_rows, "operators": operator_rows}


def write(results, page):
    sections = [provenance(results), goal_rows(results)]
    sections += [rows(results[part]["found"]) for part, rows in TABLES.items() if part in results]
    text = page.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    body = "\n\n".join("\n".join(section) for section in sections)
    page.write_text(f"{before}{BEGIN}\n{body}\n{END}{after}")
