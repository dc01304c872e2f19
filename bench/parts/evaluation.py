"""Images a second from files to accuracy; what rounding gains."""

import json
from statistics import median

from .common import BENCH, DATA, PYTHON, ROOT, Goal, Part, answer, head, measure, row, say
from .quantization import file_of, prepare, quantized

MODEL = "efficientnet_lite0"
PRECISIONS = ["float32", "wherry int8"]
ROUNDED = ROOT / "build/release/tests/measure_rounding"


# ---- wherry evaluate against a loop

LOOPS = {"the loop": [], "the loop on two threads": [2]}


def evaluate(args):
    """All are whole processes; ours has two threads. They take turns: a run of a loop stands between two of ours."""
    prepare(args, MODEL)
    if not file_of(MODEL, "wherry int8").exists():
        quantized(args, MODEL, "wherry int8", "--precision", "int8")
    images, table = DATA / "images", DATA / "imagenet1k.tsv"
    found = {}
    for precision in PRECISIONS:
        file = file_of(MODEL, precision)
        ours = [args.wherry, "evaluate", file, "--data", images, "--labels", table, "--threads", 2, "--json"]
        ours += ["--preprocess", ROOT / f"models/{MODEL}.yaml"]
        before, pairs = measure(ours), {name: [] for name in LOOPS}
        top1 = json.loads(before["printed"])["models"][0]["top1"]
        for _ in range(args.rounds + 2):
            for name, threads in LOOPS.items():
                theirs, behind = measure([PYTHON, ROOT / "bench/image_loop.py", file, images, table, *threads]), measure(ours)
                assert abs(float(theirs["printed"]) - top1) < 1e-9, f"the loop finds {theirs['printed']}, wherry {top1:.4f}"
                pairs[name].append({"ours": (before["wall"] + behind["wall"]) / 2, "theirs": theirs["wall"]})
                before = behind
        found[precision] = {"top1": top1, "count": len(list(images.iterdir())), "pairs": pairs}
        say(f"evaluate: {precision}")
    return found


def quotient(pairs):
    return median(pair["theirs"] / pair["ours"] for pair in pairs)


def evaluate_tables(found):
    columns = ["`wherry evaluate`", *LOOPS, *[f"÷ {name}" for name in LOOPS], "top-1 of all"]
    rows = head("EfficientNet-Lite0, 500 photographs, images a second", *columns)
    for precision, one in found.items():
        ours = [pair["ours"] for pairs in one["pairs"].values() for pair in pairs]
        rates = [f"{one['count'] / median(ours):.0f}"]
        rates += [f"{one['count'] / median(pair['theirs'] for pair in one['pairs'][name]):.0f}" for name in LOOPS]
        rows.append(row(precision, *rates, *[f"{quotient(one['pairs'][name]):.2f}" for name in LOOPS], f"{100 * one['top1']:.1f} %"))
    return [rows]


def evaluate_goals(found):
    for precision, one in found.items():
        for name, pairs in one["pairs"].items():
            times = quotient(pairs)
            yield Goal(f"evaluation, {precision}: images a second", f"≥ 2 × {name}", 2, times, f"{times:.2f} ×", least=True)


# ---- rounding


def rounding(args):
    model = [ROOT / f"models/{MODEL}.yaml", DATA / "images", 200, BENCH / f"models/{MODEL}.pth"]
    run = measure([ROUNDED, *model])
    return {"EfficientNet-Lite0": json.loads(run["printed"]), "synthetic": answer([ROUNDED, "synthetic"]), "wall": run["wall"]}


def rounding_tables(found):
    columns = ["moments", "GPTQ: mean", "median", "worst layer", "AdaRound: mean", "median", "worst layer"]
    rows = head("error ÷ that of nearest rounding", *columns)
    for name in ("EfficientNet-Lite0", "synthetic"):
        for bits in (4, 8):
            for data in ("held_in", "held_out"):
                cells = [f"{name}, {len(found[name]['layers'])} layers, {bits} bits", data.replace("_", " ")]
                for method in ("gptq", "adaround"):
                    ratio = found[name]["ratios"][f"{bits}/{data}/{method}"]
                    cells += [f"{ratio[key]:.3f}" for key in ("geometric_mean", "median", "worst")]
                rows.append(row(*cells))
    seconds = head("rounding EfficientNet-Lite0 to 8 bits", "seconds, summed over two threads")
    return [rows, seconds + [row(method, f"{spent:.1f}") for method, spent in found["EfficientNet-Lite0"]["seconds"].items()]]


def rounding_goals(found):
    model = found["EfficientNet-Lite0"]
    for bits in (4, 8):
        for method, label in (("gptq", "GPTQ"), ("adaround", "AdaRound")):
            share = model["ratios"][f"{bits}/held_out/{method}"]["geometric_mean"]
            yield Goal(f"{label}, {bits} bits: error of outputs, held out", "≤ 0.55 × nearest", 0.55, share, f"{share:.3f}")
    spent = max(model["seconds"].values()) / 2
    yield Goal("rounding EfficientNet-Lite0", "≤ 5 min", 300, spent, f"{spent:.0f} s")


PARTS = {"evaluate": Part(evaluate, evaluate_tables, evaluate_goals), "rounding": Part(rounding, rounding_tables, rounding_goals)}
