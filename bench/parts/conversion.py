"""The main job against its peers: an archive to a float32 .tflite, what is in the file, and how fast LiteRT runs it."""

from statistics import median

from .common import (
    ARCHIVES,
    FILES,
    LITERT_TORCH,
    NAMES,
    ONNX2TF,
    PEERS,
    Goal,
    Part,
    ask,
    duration,
    head,
    middle,
    row,
    say,
    threads_text,
    timed,
)

TOOLS = {"wherry": "wherry", "litert-torch": "LiteRT-Torch", "onnx2tf": "onnx2tf"}
LATENCY_BOUND = {"fbnet_a": 0.97, "efficientnet_lite0": 1.0}
L1_CACHE = "48"  # KB, of the machine that the latencies are recorded on


def expected(model):
    return ARCHIVES[model].with_suffix(".expected.npz")


def out(model, tool):
    return FILES / f"{model}.{tool}.tflite"


def onnx_of(model):
    """The model as PyTorch's exporter writes it, made once."""
    file = FILES / f"{model}.onnx"
    if not file.exists():
        timed([ONNX2TF, PEERS / "onnx2tf_convert.py", ARCHIVES[model], file])
    return file


def command(tool, source, target, wherry):
    """The command line by which a tool converts one file."""
    return {
        "wherry": [wherry, "convert", source, "-o", target, "--no-verify"],
        "wherry-verified": [wherry, "convert", source, "-o", target],
        "wherry-l1": [wherry, "convert", source, "-o", target, "--no-verify", "--l1-cache", L1_CACHE],
        "litert-torch": [LITERT_TORCH, PEERS / "litert_torch_convert.py", source, target],
        "onnx2tf": [ONNX2TF, PEERS / "onnx2tf_convert.py", source, target],
    }[tool]


# ---- convert


def convert(args):
    """Rounds of: several runs of Wherry, then one of a peer, so that a peer is compared with its neighbours in time."""
    source, ready, target = ARCHIVES["fbnet_a"], onnx_of("fbnet_a"), FILES / "timed.tflite"
    peers = {"litert-torch": ("litert-torch", source), "onnx2tf": ("onnx2tf", source), "onnx2tf-from-onnx": ("onnx2tf", ready)}
    for tool, file in [("wherry", source), ("wherry-verified", source), *peers.values()]:  # all comes into the page cache
        timed(command(tool, file, target, args.wherry))
    rounds = []
    for number in range(args.rounds):
        for peer, (tool, file) in peers.items():
            ours = {"wherry": [], "wherry-verified": []}
            for _ in range(args.runs):
                for own, samples in ours.items():
                    samples.append(timed(command(own, source, target, args.wherry)))
            theirs = timed(command(tool, file, target, args.wherry))
            rounds.append({"peer": peer, "ours": ours, "theirs": theirs})
            say(f"convert: round {number + 1} of {args.rounds}, {peer} {theirs['wall']:.1f} s")
    return rounds


def ratio(rounds, peer, ours):
    """The median over the rounds with one peer of its time ÷ the median of ours in that round."""
    return median(one["theirs"]["wall"] / middle(one["ours"][ours], "wall") for one in rounds if one["peer"] == peer)


def convert_tables(rounds):
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
        peak = f"{middle(samples, 'rss_mb'):.0f} MB"
        rows.append(row(label, duration(middle(samples, "wall")), duration(middle(samples, "cpu")), peak, *ratios))
    return [rows]


def convert_goals(rounds):
    for ours, how, bound in (("wherry", "--no-verify", 200), ("wherry-verified", "verified in LiteRT", 100)):
        times = ratio(rounds, "litert-torch", ours)
        yield Goal(f"FBNet-A to .tflite, {how}: time", f"≤ 1/{bound} of LiteRT-Torch", 1 / bound, 1 / times, f"1/{times:.0f}")
    peak = median(sample["rss_mb"] for one in rounds for sample in one["ours"]["wherry"])
    yield Goal("FBNet-A to .tflite, --no-verify: peak memory", "≤ 80 MB", 80, peak, f"{peak:.0f} MB")


# ---- files, and what is in them


def files(args):
    """Writes each tool's file of each model. Ours is always written anew, the peers' once."""
    for model, source in ARCHIVES.items():
        timed(command("wherry", source, out(model, "wherry"), args.wherry))
        for tool in ["litert-torch", "onnx2tf"]:
            if not out(model, tool).exists():
                timed(command(tool, source, out(model, tool), args.wherry))
    return {model: {tool: out(model, tool).stat().st_size for tool in TOOLS} for model in ARCHIVES}


def file_tables(found):
    rows = head("size of the float32 file", *TOOLS.values())
    return [rows + [row(NAMES[model], *[f"{size / 1e6:.2f} MB" for size in sizes.values()]) for model, sizes in found.items()]]


def accuracy(args):
    found = {}
    for model, source in ARCHIVES.items():
        found[model] = {"pytorch": ask(what="float64_error", source=source, expected=expected(model))}
        for tool in TOOLS:
            found[model][tool] = ask(what="accuracy", file=out(model, tool), expected=expected(model))
    return found


def accuracy_tables(found):
    rows = head("error ÷ greatest output", *TOOLS.values(), "PyTorch float32 against float64")
    for model, tools in found.items():
        rows.append(row(NAMES[model], *[f"{max(tools[tool].values()):.1e}" for tool in TOOLS], f"{tools['pytorch']:.1e}"))
    return [rows]


def accuracy_goals(found):
    for model in ("fbnet_a", "fbnet_b"):
        error = max(found[model]["wherry"].values())
        yield Goal(f"{NAMES[model]}, error ÷ greatest output", "≤ 2e-5", 2e-5, error, f"{error:.1e}")


def operators(args):
    return {model: {tool: ask(what="operators", file=out(model, tool)) for tool in TOOLS} for model in ARCHIVES}


def operator_tables(found):
    tables = []
    for model, tools in found.items():
        builtins = sorted({name for counts in tools.values() for name in counts})
        rows = head(f"operators, {NAMES[model]}", "all", *builtins)
        for tool, counts in tools.items():
            rows.append(row(TOOLS[tool], str(sum(counts.values())), *[str(counts.get(name, 0)) for name in builtins]))
        tables.append(rows)
    return tables


def operator_goals(found):
    counts = found["fbnet_a"]["wherry"]
    total, transposes = sum(counts.values()), counts.get("TRANSPOSE", 0)
    yield Goal("FBNet-A, operators", "≤ 75", 75, total, str(total))
    yield Goal("FBNet-A, TRANSPOSE", "0", 0, transposes, str(transposes))


# ---- latency


def latency(args):
    """Per model and count of threads: lists of milliseconds by tool, index by index measured side by side."""
    found = {}
    for model in LATENCY_BOUND:
        timed(command("wherry-l1", ARCHIVES[model], out(model, "wherry-l1"), args.wherry))
        for threads in (1, 2):
            turns = [(tool, out(model, tool)) for tool in [*TOOLS, "wherry-l1"]] + [("control", out(model, "litert-torch"))]
            times = {tool: [] for tool, _ in turns}
            for _ in range(args.processes):
                turns = turns[1:] + turns[:1]
                laps = ask(
                    what="latency",
                    files=dict(turns),
                    expected=expected(model),
                    threads=threads,
                    alternations=args.alternations,
                    inferences=args.inferences,
                )
                for tool in times:
                    times[tool] += laps[tool]
            found.setdefault(model, {})[str(threads)] = times
            say(f"latency: {NAMES[model]}, {threads_text(threads)}")
    return found


def relative(times, tool, ours="wherry"):
    """The median over all turns of our time ÷ the tool's time in the same turn."""
    return median(mine / theirs for mine, theirs in zip(times[ours], times[tool], strict=True))


def faster_peer(times):
    return min(("litert-torch", "onnx2tf"), key=lambda tool: median(times[tool]))


def latency_tables(found):
    split = f"--l1-cache {L1_CACHE}"
    columns = [*TOOLS.values(), "wherry ÷ LiteRT-Torch", "wherry ÷ onnx2tf", f"{split} ÷ LiteRT-Torch", f"{split} ÷ onnx2tf", "control"]
    rows = head("latency in LiteRT", *columns)
    for model, by_threads in found.items():
        for threads, times in by_threads.items():
            milliseconds = [f"{median(times[tool]):.2f} ms" for tool in TOOLS]
            ratios = [f"{relative(times, tool, ours):.3f}" for ours in ("wherry", "wherry-l1") for tool in ("litert-torch", "onnx2tf")]
            ratios.append(f"{relative(times, 'litert-torch', ours='control'):.3f}")
            rows.append(row(f"{NAMES[model]}, {threads_text(threads)}", *milliseconds, *ratios))
    return [rows]


def latency_goals(found):
    for model, by_threads in found.items():
        for threads, times in by_threads.items():
            peer, bound = faster_peer(times), LATENCY_BOUND[model]
            what = f"{NAMES[model]}, float32 latency, {threads_text(threads)}"
            files = {"wherry": what}
            if threads == "1":
                files["wherry-l1"] = f"{what}, `--l1-cache {L1_CACHE}`"
            for ours, title in files.items():
                share = relative(times, peer, ours)
                yield Goal(title, f"≤ {bound:.2f} of the faster peer", bound, share, f"{share:.3f}")


PARTS = {
    "convert": Part(convert, convert_tables, convert_goals),
    "files": Part(files, file_tables),
    "accuracy": Part(accuracy, accuracy_tables, accuracy_goals),
    "operators": Part(operators, operator_tables, operator_goals),
    "latency": Part(latency, latency_tables, latency_goals),
}
