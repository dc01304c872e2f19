"""All frameworks from one text: what they answer on photographs, one epoch of training; the ONNX project's own node tests."""

from .common import PYTHON, ROOT, Goal, Part, answer, head, row

NAMES = {
    "fbnet_a": "FBNet-A",
    "fbnet_b": "FBNet-B",
    "fbnet_c": "FBNet-C",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "mobilenet_v2": "MobileNetV2",
    "resnet18": "ResNet18",
}


def frameworks(args):
    return answer([PYTHON, ROOT / "bench/frameworks.py", "--json"])


def framework_tables(found):
    rows = head("against PyTorch", "target", "images", "same top-1", "max error, of max", "SQNR")
    for one in found:
        cells = [f"{100 * one['agreement']:.2f} %", f"{one['error']:.1e}", f"{one['sqnr_db']:.0f} dB"]
        rows.append(row(NAMES[one["model"]], one["target"], str(one["count"]), *cells))
    return [rows]


def framework_goals(found):
    same, error = min(one["agreement"] for one in found), max(one["error"] for one in found)
    count = f"{len({one['model'] for one in found})} networks × {len({one['target'] for one in found})} targets"
    yield Goal(f"{count}: same top-1", "100 % of 500 photographs", 1.0, same, f"{100 * same:.2f} %", least=True)
    yield Goal(f"{count}: max error ÷ max output", "≤ 3e-5", 3e-5, error, f"{error:.1e}")


def training(args):
    return answer([PYTHON, ROOT / "bench/training.py", "--json"])


def training_tables(found):
    rows = head("one epoch", "loss before", "after", "weights that moved", ".tflite against the trained network")
    for one in found:
        moved = f"{one['moved']} of {one['weights']}"
        rows.append(row(one["framework"], f"{one['before']:.3f}", f"{one['after']:.3f}", moved, f"{one['tflite_error']:.1e}"))
    return [rows]


def training_goals(found):
    worst = max(one["after"] / one["before"] for one in found)
    yield Goal(f"training in {len(found)} ways: loss after one epoch ÷ before", "< 1", 1 - 1e-9, worst, f"at most {worst:.2f}")


def nodes(args):
    return answer([PYTHON, ROOT / "tests/python/onnx_nodes.py", "--json"])


def node_tables(found):
    rows = head("ONNX's node tests of listed operators", "tests", "pass")
    rows.append(row("reference evaluator", str(found["listed"]), str(found["evaluator"])))
    rows.append(row("LiteRT", str(found["listed"]), str(found["litert"])))
    return [rows]


def node_goals(found):
    for name, where in {"evaluator": "the reference evaluator", "litert": "LiteRT"}.items():
        share = found[name] / found["listed"]
        shown = f"{found[name]} of {found['listed']}"
        yield Goal(f"ONNX's node tests of listed operators, in {where}", "all", 1.0, share, shown, least=True)


PARTS = {
    "frameworks": Part(frameworks, framework_tables, framework_goals),
    "training": Part(training, training_tables, training_goals),
    "onnx-nodes": Part(nodes, node_tables, node_goals),
}
