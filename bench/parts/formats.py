"""Other formats, whole processes: .onnx in, against onnx2tf on the same files; a text to .keras."""

from statistics import median

from .common import FILES, NAMES, ONNX2TF, PEERS, ROOT, Goal, Part, duration, head, middle, row, say, timed
from .conversion import onnx_of

MODELS = ["fbnet_a", "efficientnet_lite0"]
REPORT_SECONDS, REPORT_MB = 26.8, 1400  # the route of the report: a twin by hand in Keras, and TensorFlow


def onnx(args):
    found = {}
    for model in MODELS:
        source, target = onnx_of(model), FILES / "timed.tflite"
        ours = {"--no-verify": ["--no-verify"], "verified": []}
        theirs = [ONNX2TF, PEERS / "onnx2tf_convert.py", source, target]
        timed(theirs)
        rounds = []
        for number in range(args.rounds):
            runs = {
                how: [timed([args.wherry, "convert", source, "-o", target, *words]) for _ in range(args.runs)]
                for how, words in ours.items()
            }
            rounds.append({"ours": runs, "theirs": timed(theirs)})
            say(f"onnx: {NAMES[model]}, round {number + 1} of {args.rounds}")
        found[model] = rounds
    return found


def quotient(rounds, how):
    return median(one["theirs"]["wall"] / middle(one["ours"][how], "wall") for one in rounds)


def onnx_tables(found):
    rows = head("ONNX → .tflite, whole process", "time", "peak memory", "onnx2tf ÷ this")
    for model, rounds in found.items():
        for how in rounds[0]["ours"]:
            samples = [sample for one in rounds for sample in one["ours"][how]]
            cells = [duration(middle(samples, "wall")), f"{middle(samples, 'rss_mb'):.0f} MB", f"{quotient(rounds, how):.0f}"]
            rows.append(row(f"{NAMES[model]}, wherry, {how}", *cells))
        theirs = [one["theirs"] for one in rounds]
        rows.append(row(f"{NAMES[model]}, onnx2tf", duration(middle(theirs, "wall")), f"{middle(theirs, 'rss_mb'):.0f} MB", ""))
    return [rows]


def onnx_goals(found):
    for model, rounds in found.items():
        times = quotient(rounds, "--no-verify")
        yield Goal(f"{NAMES[model]}, .onnx to .tflite: time", "≤ 1/100 of onnx2tf", 1 / 100, 1 / times, f"1/{times:.0f}")
        peak = max(sample["rss_mb"] for one in rounds for sample in one["ours"]["--no-verify"])
        yield Goal(f"{NAMES[model]}, .onnx to .tflite: peak memory", "≤ 80 MB", 80, peak, f"{peak:.0f} MB")


def keras(args):
    line = [args.wherry, "convert", ROOT / "models/fbnet_a.yaml", "--seed", "1", "-o", FILES / "timed.keras", "--no-verify"]
    return [timed(line) for _ in range(args.runs)]


def keras_tables(found):
    rows = head("FBNet-A, text → .keras, whole process", "time", "peak memory")
    rows.append(row("`wherry convert --no-verify`", duration(middle(found, "wall")), f"{middle(found, 'rss_mb'):.0f} MB"))
    rows.append(row("the report's route, as it reports", duration(REPORT_SECONDS), f"{REPORT_MB} MB"))
    return [rows]


def keras_goals(found):
    times, peak = REPORT_SECONDS / middle(found, "wall"), max(sample["rss_mb"] for sample in found)
    yield Goal("FBNet-A, text to .keras: time", "≤ 1/100 of the report's route", 1 / 100, 1 / times, f"1/{times:.0f}")
    yield Goal("FBNet-A, text to .keras: peak memory", "≤ 80 MB", 80, peak, f"{peak:.0f} MB")


PARTS = {"onnx": Part(onnx, onnx_tables, onnx_goals), "keras": Part(keras, keras_tables, keras_goals)}
