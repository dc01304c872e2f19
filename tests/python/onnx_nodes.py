"""The ONNX project's own node tests, through the reference evaluator and LiteRT; docs/onnx.md is what this prints.

.venv/bin/python tests/python/onnx_nodes.py > docs/onnx.md
"""

import collections
import pathlib
import re
import tempfile
import warnings

import numpy as np
import onnx
import wherry
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

HEAD = """# The ONNX node tests

Written by `.venv/bin/python tests/python/onnx_nodes.py > docs/onnx.md`; do not edit. `tests/python/test_onnx_nodes.py` fails where it is
stale.

The `onnx` package ({version}) generates a model, inputs and outputs for each variant of each operator. Each is read by Wherry and run by
the reference evaluator, then converted to `.tflite` and run in LiteRT. ONNX takes axes, shapes and the like as inputs; where Wherry needs
them when the model is read, the test's values are put into the model as initializers.

"""
# What is tried in turn: all inputs stay inputs; only large floats; only the first; none.
KEEPS = [
    lambda i, a: True,
    lambda i, a: i == 0 or (a.dtype.kind == "f" and a.size > 8),
    lambda i, a: i == 0,
    lambda i, a: False,
]
NEEDS_CONSTANT = ("fixed value is needed", "whose size is not known", "must be a constant", "is computed by the model", "no constant")


def frozen(model, inputs, keep):
    """The model with the inputs that `keep` does not want as initializers, and the positions of those that stay."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    ports = list(copy.graph.input)
    kept = []
    for i, (port, array) in enumerate(zip(ports, inputs, strict=False)):
        if keep(i, np.asarray(array)):
            kept.append(i)
        else:
            copy.graph.initializer.append(numpy_helper.from_array(np.asarray(array), port.name))
    del copy.graph.input[:]
    copy.graph.input.extend(ports[i] for i in kept)
    return copy, kept


def compare(found, expected, rtol, atol):
    if len(found) != len(expected):
        raise AssertionError(f"{len(found)} outputs, expected {len(expected)}")
    for ours, theirs in zip(found, expected, strict=True):
        theirs = np.asarray(theirs)
        if ours.shape != theirs.shape:
            raise AssertionError(f"shape {ours.shape}, expected {theirs.shape}")
        if ours.dtype != theirs.dtype and theirs.dtype.name != "bfloat16":
            raise AssertionError(f"{ours.dtype}, expected {theirs.dtype}")
        np.testing.assert_allclose(
            ours.astype(np.float64), theirs.astype(np.float64), rtol=rtol, atol=max(atol, 1e-6), err_msg="numbers differ"
        )


def first_message(error):
    """The first diagnostic's code and message, without where it stands."""
    lines = str(error).strip().splitlines()
    line = lines[0].strip() if lines else type(error).__name__
    return re.sub(r"^error ", "", line)


def reason_of(error):
    text = first_message(error)
    if isinstance(error, AssertionError):
        return "numbers differ"
    if found := re.match(r"E201: '([^']+)'", text):
        return f"the operator {found[1]} is not one of Wherry's"
    if found := re.match(r"E203: '([^']*)', output (\d) of '([^']*)'", text):
        return f"E203: output {found[2]} of '{found[3]}' is not computed by Wherry"
    if found := re.match(r"E107: (?:input|weight|attribute) .* is a (.*), which Wherry does not read", text):
        return f"E107: a {found[1]}"
    return re.sub(r"[\[(][0-9, ]+[\])]", "[…]", text)


def run_one(case, folder):
    """(reason or "", reason or "") of the reference evaluator and LiteRT."""
    inputs, outputs = case.data_sets[0]
    if not all(isinstance(a, (np.ndarray, np.generic)) and np.asarray(a).dtype.kind in "fiubV" for a in [*inputs, *outputs]):
        return ("inputs or outputs that are no tensors of numbers",) * 2
    file, target = folder / "m.onnx", folder / "m.tflite"
    error = evaluated = None
    for keep in KEEPS:
        if evaluated == "" and keep is KEEPS[-1]:
            break  # LiteRT must compute something
        model, kept = frozen(case.model, inputs, keep)
        file.write_bytes(model.SerializeToString())
        arrays = [np.asarray(inputs[i]) for i in kept]
        try:
            compare(wherry.load(file).run(arrays), outputs, case.rtol, case.atol)
            evaluated = ""
        except Exception as found:  # noqa: BLE001
            error = found
            if any(code in str(found) for code in ("E201", "E106", "E107")):
                break
            continue
        try:
            wherry.convert(file, out=target, io="nchw", verify=False)
            lite = wherry.load(target)
            names = [name for name, _ in wherry.load(file).inputs]
            given = dict(zip(names, arrays, strict=True))
            order = [given[name] for name, _ in lite.inputs]
            found = dict(zip([name for name, _ in lite.outputs], lite.run(order), strict=True))
            ports = [name for name, _ in wherry.load(file).outputs]
            compare([found[name] for name in ports], outputs, case.rtol, max(case.atol, 1e-5))
            return "", ""
        except Exception as found:  # noqa: BLE001
            error = found
    if evaluated == "":
        return "", reason_of(error)
    return (reason_of(error),) * 2


def run_all(pattern=""):
    """name → reasons, for every test."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        return {case.name: run_one(case, pathlib.Path(folder)) for case in collect_testcases(None) if re.search(pattern, case.name)}


def table(title, reasons):
    groups = collections.defaultdict(list)
    for name, reason in reasons.items():
        groups[reason].append(name.removeprefix("test_"))
    rows = [f"## {title}\n", "| reason | tests | which |", "|---|---|---|"]
    for reason, names in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        text = reason.replace("|", "\\|").replace("<", "&lt;")
        shown = ", ".join(sorted(names)[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
        rows.append(f"| {text} | {len(names)} | {shown} |")
    return "\n".join(rows) + "\n"


def page(results):
    passed = sum(not reasons[0] for reasons in results.values())
    lite = sum(not reasons[1] for reasons in results.values())
    known = [r for r in results.values() if not r[0].startswith("the operator ")]
    lines = [
        HEAD.format(version=onnx.__version__),
        f"{len(results)} tests; {len(known)} need only operators that Wherry has; {passed} pass in the reference evaluator, "
        f"{lite} of them in LiteRT too.\n\n",
        table("Not passed by the reference evaluator", {name: r[0] for name, r in results.items() if r[0]}),
        "\n",
        table("Passed by the reference evaluator, not run in LiteRT", {name: r[1] for name, r in results.items() if r[1] and not r[0]}),
    ]
    return "".join(lines)


if __name__ == "__main__":
    print(page(run_all()), end="")
