"""Quantization against litert-quantizer and TensorFlow's converter, on photographs that calibrated nothing.

Of the 500 photographs of ../shared/data/images (one a class), those whose number modulo 5 is 0 or 1 calibrate (200); the other 300 are
scored. Nothing is tuned on these.
"""

import collections
import hashlib
import json
import tempfile
from pathlib import Path
from statistics import median

from .common import (
    ARCHIVES,
    BENCH,
    DATA,
    NAMES,
    ONNX2TF,
    PEERS,
    QUANTIZER,
    ROOT,
    Goal,
    Part,
    answer,
    head,
    interval,
    measure,
    middle,
    row,
    say,
    threads_text,
    timed,
)

FILES = BENCH / "quantize"
WEIGHTS = BENCH / "models/efficientnet_lite0.pth"
# Source and what else the command line needs, and the preprocessing of the peers' scripts.
MODELS = {
    "efficientnet_lite0": ([ROOT / "models/efficientnet_lite0.yaml", "--weights", WEIGHTS], "lite0"),
    "fbnet_a": ([DATA / "fbnet_a.pt2", "--preprocess", FILES / "photos.yaml"], "fbnet"),
}
# What is scored: Wherry's files by the options that make them, and the peers'.
OURS = {
    "wherry int8": ["--precision", "int8"],
    "wherry int8 `--no-equalize`": ["--precision", "int8", "--no-equalize"],
    "wherry int16x8": ["--precision", "int16x8"],
}
LITERT_QUANTIZER, TENSORFLOW = "litert-quantizer int8", "TensorFlow int8"
BOUNDS = {"efficientnet_lite0": (98.8, 22.0), "fbnet_a": (98.0, 12.5)}  # agreement in %, SQNR in dB
OUTSIDE = {"efficientnet_lite0": 10, "fbnet_a": 25}  # % of multiply-accumulates that may be left outside int8
TARGET = "agreement >= 99.5%"


def prepare(args, model):
    """The lists of photographs, the text that prepares them, and the float file that all start from."""
    FILES.mkdir(parents=True, exist_ok=True)
    images = sorted((DATA / "images").iterdir())
    for name, picked in {"calibrate": [0, 1], "score": [2, 3, 4]}.items():
        lines = [str(file) for i, file in enumerate(images) if i % 5 in picked]
        (FILES / f"{name}.txt").write_text("\n".join(lines) + "\n")
    # The shared FBNet-A was made with bicubic scaling and a crop that rounds down.
    text = (ROOT / "models/fbnet_a.yaml").read_text()
    text = text.replace("filter: bilinear", "filter: bicubic")
    text = text.replace("center_crop: [224, 224]", "center_crop: {size: [224, 224], rounding: down}")
    (FILES / "photos.yaml").write_text(text)
    if not (library := FILES / "library").exists():
        library.symlink_to(ROOT / "library")
    timed([args.wherry, "convert", *MODELS[model][0], "-o", file_of(model, "float32")])


def file_of(model, name):
    return FILES / f"{model}.{''.join(c for c in name if c.isalnum() or c == '-').replace('wherry', '').replace('--', '-')}.tflite"


def quantized(args, model, name, *options):
    """Wherry's own report."""
    line = [args.wherry, "convert", *MODELS[model][0], "-o", file_of(model, name), "--json", "--no-cache"]
    return answer([*line, "--calibrate", FILES / "calibrate.txt", *options])


def litert_quantizer(model):
    """The peer's file, and its report."""
    line = [QUANTIZER, PEERS / "quantize_litert.py", file_of(model, "float32"), file_of(model, LITERT_QUANTIZER)]
    return answer([*line, "--images", DATA / "images", "--preprocess", MODELS[model][1]])


def tensorflow(model):
    data = FILES / f"{model}.npy"
    timed([QUANTIZER, PEERS / "photographs.py", DATA / "images", data, "--preprocess", MODELS[model][1]])
    return answer([ONNX2TF, PEERS / "quantize_tensorflow.py", ARCHIVES[model], file_of(model, TENSORFLOW), "--calibrate", data])


def score(model, names):
    """Agreement with the first, SQNR and top-1 on the 300 photographs, by LiteRT in the peer's environment."""
    line = [QUANTIZER, PEERS / "score_tflite.py", "--preprocess", MODELS[model][1], DATA]
    return dict(zip(names, answer([*line, *[file_of(model, name) for name in names]]), strict=True))


# ---- scores


def scores(args):
    found = {}
    for model in MODELS:
        prepare(args, model)
        litert_quantizer(model)
        tensorflow(model)
        for name, options in OURS.items():
            quantized(args, model, name, *options)
            say(f"scores: {NAMES[model]}, {name}")
        found[model] = score(model, ["float32", LITERT_QUANTIZER, TENSORFLOW, *OURS])
    return found


def score_tables(found):
    tables = []
    for model, files in found.items():
        rows = head(NAMES[model], "agreement with float32", "95 %", "SQNR of logits", "top-1")
        for name, s in files.items():
            low, high = interval(s["count"] - s["flips"], s["count"])
            same = f"{100 * s['agreement']:.2f} % ({s['flips']} flip{'' if s['flips'] == 1 else 's'})"
            cells = ["", "", ""] if name == "float32" else [same, f"{100 * low:.1f} to {100 * high:.1f}", f"{s['sqnr_db']:.2f} dB"]
            rows.append(row(name, *cells, f"{100 * s['top1']:.2f} %"))
        tables.append(rows)
    return tables


def score_goals(found):
    for model, files in found.items():
        ours, agreement, decibels = files["wherry int8"], *BOUNDS[model]
        same = 100 * ours["agreement"]
        yield Goal(f"{NAMES[model]}, int8: agreement", f"≥ {agreement} %", agreement, same, f"{same:.2f} %", least=True)
        sqnr = ours["sqnr_db"]
        yield Goal(f"{NAMES[model]}, int8: SQNR of logits", f"≥ {decibels} dB", decibels, sqnr, f"{sqnr:.2f} dB", least=True)
        if model == "efficientnet_lite0":
            lost = 100 * (files["float32"]["top1"] - ours["top1"])
            yield Goal(f"{NAMES[model]}, int8: top-1 lost", "≤ 0.2 points", 0.2 + 1e-9, lost, f"{lost:.2f}")
        same = 100 * files["wherry int16x8"]["agreement"]
        yield Goal(f"{NAMES[model]}, int16x8: agreement", "≥ 99.8 %", 99.8, same, f"{same:.2f} %", least=True)


# ---- accuracy as an input


def target(args):
    found = {}
    for model in MODELS:
        prepare(args, model)
        report = quantized(args, model, "target", "--precision", "int8", "--accuracy-target", TARGET)
        chosen = report["target"]["tried"][report["target"]["chosen"]]
        found[model] = score(model, ["float32", "target"])["target"] | {"outside_int8": chosen["outside_int8"]}
        say(f"target: {NAMES[model]}")
    return found


def target_tables(found):
    rows = head(f'`--accuracy-target "{TARGET}"`', "multiply-accumulates outside int8", "agreement on the other 300", "SQNR")
    for model, s in found.items():
        rows.append(row(NAMES[model], f"{100 * s['outside_int8']:.1f} %", f"{100 * s['agreement']:.2f} %", f"{s['sqnr_db']:.2f} dB"))
    return [rows]


def target_goals(found):
    for model, s in found.items():
        same, outside = 100 * s["agreement"], 100 * s["outside_int8"]
        yield Goal(f"{NAMES[model]}, accuracy target: agreement", "≥ 99.5 %", 99.5, same, f"{same:.2f} %", least=True)
        bound = OUTSIDE[model]
        yield Goal(f"{NAMES[model]}, accuracy target: outside int8", f"≤ {bound} % of MACs", bound, outside, f"{outside:.1f} %")


# ---- time and memory


def quantize(args):
    """Rounds of Wherry's whole process and the peer's calibrate and quantize alone, one after the other."""
    found = {}
    for model in MODELS:
        prepare(args, model)
        line = [args.wherry, "convert", *MODELS[model][0], "-o", FILES / "timed.tflite", "--no-cache", "--precision", "int8"]
        rounds = []
        for _ in range(args.rounds + 2):
            ours = timed([*line, "--calibrate", FILES / "calibrate.txt"])
            seconds = litert_quantizer(model)["seconds"]
            rounds.append({"ours": ours, "theirs": seconds["calibrate"] + seconds["quantize"]})
        found[model] = rounds
        say(f"quantize: {NAMES[model]}")
    return found


def quantize_quotient(rounds):
    return median(one["ours"]["wall"] / one["theirs"] for one in rounds)


def quantize_tables(found):
    columns = ["wherry, whole process", "litert-quantizer, calibrate and quantize alone", "wherry ÷ peer", "peak memory"]
    rows = head("200 photographs → int8 .tflite", *columns)
    for model, rounds in found.items():
        ours = [one["ours"] for one in rounds]
        seconds = [f"{middle(ours, 'wall'):.2f} s", f"{median(one['theirs'] for one in rounds):.2f} s"]
        peak = f"{max(one['rss_mb'] for one in ours):.0f} MB"
        rows.append(row(NAMES[model], *seconds, f"{quantize_quotient(rounds):.2f}", peak))
    return [rows]


def quantize_goals(found):
    for model, rounds in found.items():
        share, peak = quantize_quotient(rounds), max(one["ours"]["rss_mb"] for one in rounds)
        yield Goal(f"{NAMES[model]} to int8: time", "≤ 0.6 of litert-quantizer", 0.6, share, f"{share:.2f}")
        yield Goal(f"{NAMES[model]} to int8: peak memory", "≤ 600 MB", 600, peak, f"{peak:.0f} MB")


# ---- latency of the int8 files


def int8_latency(args):
    found = {}
    for model in MODELS:
        if not file_of(model, LITERT_QUANTIZER).exists():
            prepare(args, model)
            litert_quantizer(model)
        if not file_of(model, "wherry int8").exists():
            quantized(args, model, "wherry int8", "--precision", "int8")
        files = [file_of(model, "wherry int8"), file_of(model, LITERT_QUANTIZER)]
        for threads in (1, 2):
            line = [QUANTIZER, PEERS / "score_tflite.py", "--latency", threads, DATA, *files]
            found.setdefault(model, {})[str(threads)] = answer(line)
            say(f"int8-latency: {NAMES[model]}, {threads_text(threads)}")
    return found


def int8_latency_tables(found):
    rows = head("int8 in LiteRT", "wherry", "litert-quantizer", "wherry ÷ peer")
    for model, by_threads in found.items():
        for threads, times in by_threads.items():
            milliseconds = [f"{ms:.2f} ms" for ms in times["ms"]]
            rows.append(row(f"{NAMES[model]}, {threads_text(threads)}", *milliseconds, f"{times['ratio']:.3f}"))
    return [rows]


def int8_latency_goals(found):
    for model, by_threads in found.items():
        for threads, times in by_threads.items():
            what = f"{NAMES[model]}, int8 latency, {threads_text(threads)}"
            yield Goal(what, "≤ 1.0 of litert-quantizer's file", 1.0, times["ratio"], f"{times['ratio']:.3f}")


# ---- precisions that need no data


def precisions(args):
    found = {}
    for model, (source, _) in MODELS.items():
        for precision in ("float32", "float16", "dynamic", "int8-weights", "int4"):
            report = answer([args.wherry, "convert", *source, "-o", FILES / "timed.tflite", "--precision", precision, "--json"])
            found.setdefault(precision, {})[model] = {"bytes": report["bytes"], "sqnr_db": report["sqnr_db"]}
    return found


def precision_tables(found):
    rows = head("`--precision`", *[cell for model in MODELS for cell in (NAMES[model], "SQNR")])
    for precision, models in found.items():
        cells = [cell for m in models.values() for cell in (f"{m['bytes'] / 1e6:.2f} MB", f"{m['sqnr_db']:.1f} dB")]
        rows.append(row(precision, *cells))
    return [rows]


# ---- statistics kept from one conversion to the next


def cache(args):
    """Seconds of calibration, and whether the file is the same, of three conversions."""
    prepare(args, "fbnet_a")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, options in {"`--no-cache`": ["--no-cache"], "the first": [], "the second": []}.items():
            out = Path(folder) / "out.tflite"
            line = [args.wherry, "convert", *MODELS["fbnet_a"][0], "-o", out, "--precision", "int8", "--json"]
            report = answer([*line, "--calibrate", FILES / "calibrate.txt", *options], XDG_CACHE_HOME=folder)
            digest = hashlib.sha256(out.read_bytes()).hexdigest()
            rows.append({"run": name, "seconds": report["seconds"]["calibrate"], "digest": digest})
        kept = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file() and file.suffix != ".tflite")
    return {"runs": rows, "bytes": kept}


def cache_tables(found):
    first = found["runs"][0]["digest"]
    rows = head(f"FBNet-A, run (what is kept takes {found['bytes'] / 1e3:.0f} kB)", "calibrate", "file")
    for one in found["runs"]:
        rows.append(row(one["run"], f"{one['seconds']:.2f} s", "the same bytes" if one["digest"] == first else "**other bytes**"))
    return [rows]


# ---- the audit of a peer's files


def audit(args):
    """Findings by rule, from the file and its float twin, and with photographs beside the text; seconds of each."""
    found = {}
    texts = {"efficientnet_lite0": ["--weights", WEIGHTS], "fbnet_a": ["--seed", "0"]}
    for model in MODELS:
        prepare(args, model)
        litert_quantizer(model)
        file = file_of(model, LITERT_QUANTIZER)
        text = [ROOT / f"models/{model}.yaml", *texts[model], "--data", DATA / "images"]
        references = {"the file alone": [], "with the float file": ["--reference", file_of(model, "float32")]}
        for how, words in (references | {"with photographs": ["--reference", *text]}).items():
            run = measure(["bash", "-c", '"$@" || true', "-", args.wherry, "check", file, *words, "--json"])
            findings = json.loads(run["printed"])["findings"]
            counts = collections.Counter(finding["rule"] for finding in findings)
            found.setdefault(model, {})[how] = {"seconds": run["wall"], "rules": dict(counts)}
    return found


def audit_tables(found):
    rules = sorted({rule for ways in found.values() for way in ways.values() for rule in way["rules"]})
    rows = head("litert-quantizer's file", "seconds", *rules)
    for model, ways in found.items():
        for how, way in ways.items():
            rows.append(row(f"{NAMES[model]}, {how}", f"{way['seconds']:.2f} s", *[str(way["rules"].get(rule, 0)) for rule in rules]))
    return [rows]


PARTS = {
    "scores": Part(scores, score_tables, score_goals),
    "target": Part(target, target_tables, target_goals),
    "quantize": Part(quantize, quantize_tables, quantize_goals),
    "int8-latency": Part(int8_latency, int8_latency_tables, int8_latency_goals),
    "precisions": Part(precisions, precision_tables),
    "cache": Part(cache, cache_tables),
    "audit": Part(audit, audit_tables),
}
