"""The ONNX project's own node tests, through the reference evaluator and LiteRT; docs/onnx.md is what this prints.

.venv/bin/python tests/python/onnx_nodes.py > docs/onnx.md      (--json: how many pass, alone)
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import wherry
from onnx import helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.reference import ReferenceEvaluator

HEAD = """# The ONNX node tests

Written by `.venv/bin/python tests/python/onnx_nodes.py > docs/onnx.md`; do not edit. `tests/python/test_onnx_nodes.py` fails where it is
stale.

The `onnx` package ({version}) generates a model, inputs and outputs for each variant of each operator. Each is read by Wherry and run by
the reference evaluator, then converted to `.tflite` and run in LiteRT. ONNX takes axes, shapes and the like as inputs; where Wherry needs
them when the model is read, the test's values are put into the model as initializers. Sequences and optionals go in and out as the
tensors that they hold. Types that NumPy lacks are carried by wider ones.

ONNX rounds bfloat16 after each operator, Wherry computes in float32 and rounds once. Where the two differ by more than the test allows,
ONNX's own reference implementation runs the same model in float32, and Wherry's numbers must be the bfloat16 nearest to its.

"""
# What is tried in turn: all inputs stay inputs; only large floats; only the first; none.
KEEPS = [
    lambda i, a: True,
    lambda i, a: i == 0 or (a.dtype.kind == "f" and a.size > 8),
    lambda i, a: i == 0,
    lambda i, a: False,
]
# What the reader resolves by itself, without an operator of Wherry's.
STRUCTURE = set(
    re.findall(
        r"\w+",
        "If Loop Scan Identity SequenceEmpty SequenceConstruct SequenceAt SequenceInsert SequenceErase SequenceLength SequenceMap "
        "SplitToSequence ConcatFromSequence Optional OptionalGetElement OptionalHasElement",
    )
)


def listed_operators():
    """The ONNX operators that `wherry ops` lists."""
    command = [str(pathlib.Path(sys.executable).with_name("wherry")), "ops", "--json"]
    table = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {target for op in table for target in op.get("onnx", [])} | STRUCTURE


def operators_of(model):
    """Every operator in the model, its functions and subgraphs; without the functions themselves."""
    found, own = set(), {(f.domain, f.name) for f in model.functions}

    def visit(nodes):
        for node in nodes:
            domain = "" if node.domain == "ai.onnx" else node.domain
            if (node.domain, node.op_type) not in own:
                found.add(f"{domain}.{node.op_type}" if domain else node.op_type)
            for attribute in node.attribute:
                for graph in [attribute.g, *attribute.graphs]:
                    visit(graph.node)

    visit(model.graph.node)
    for function in model.functions:
        visit(function.node)
    return found


# ---- inputs and outputs as arrays


def tensor_of(value):
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def tensor_type(kind):
    """The tensor type inside sequences and optionals."""
    while not kind.HasField("tensor_type"):
        kind = kind.sequence_type.elem_type if kind.HasField("sequence_type") else kind.optional_type.elem_type
    return kind.tensor_type


def port(name, array, kind):
    return helper.make_tensor_value_info(name, tensor_type(kind).elem_type, array.shape)


def open_input(value, given):
    """The nodes that make a sequence or an optional out of tensors, the tensors' ports and arrays."""
    kind, nodes, name = value.type, [], value.name
    is_optional = kind.HasField("optional_type")
    inner = kind.optional_type.elem_type if is_optional else kind
    made = f"{name}/held" if is_optional else name
    if given is None:
        nodes.append(helper.make_node("Optional", [], [name], type=inner))
        return nodes, [], []
    if inner.HasField("sequence_type"):
        arrays = [tensor_of(a) for a in given]
        names = [f"{name}/{i}" for i in range(len(arrays))]
        op = helper.make_node("SequenceConstruct", names, [made]) if names else helper.make_node("SequenceEmpty", [], [made])
        nodes.append(op)
    else:
        arrays, names = [tensor_of(given)], [made]
    if is_optional:
        nodes.append(helper.make_node("Optional", [made], [name]))
    return nodes, [port(n, a, kind) for n, a in zip(names, arrays, strict=True)], arrays


def open_output(value, expected):
    """The nodes that take tensors out of a sequence or an optional, the tensors' ports and arrays."""
    kind, nodes, name = value.type, [], value.name
    if kind.HasField("optional_type"):
        nodes.append(helper.make_node("OptionalGetElement", [name], [f"{name}/held"]))
        kind, name = kind.optional_type.elem_type, f"{name}/held"
    if not kind.HasField("sequence_type"):
        return nodes, [port(name, tensor_of(expected), kind)], [tensor_of(expected)]
    arrays = [tensor_of(a) for a in expected]
    for i in range(len(arrays)):
        nodes.append(helper.make_node("Constant", [], [f"{value.name}/at{i}"], value_int=i))
        nodes.append(helper.make_node("SequenceAt", [name, f"{value.name}/at{i}"], [f"{value.name}/{i}"]))
    return nodes, [port(f"{value.name}/{i}", a, kind) for i, a in enumerate(arrays)], arrays


def opened(model, inputs, outputs):
    """The model with tensors alone as inputs and outputs, and their arrays."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())

    def one_end(pairs, open_one):
        """Nodes, ports and arrays of all inputs or all outputs."""
        end = [], [], []
        for value, array in pairs:
            plain = value.type.HasField("tensor_type")
            for whole, part in zip(end, ([], [value], [tensor_of(array)]) if plain else open_one(value, array), strict=True):
                whole.extend(part)
        return end

    before, ins, given = one_end(zip(copy.graph.input, inputs, strict=False), open_input)
    after, outs, expected = one_end(zip(copy.graph.output, outputs, strict=True), open_output)
    nodes = [*before, *copy.graph.node, *after]
    for field, values in ((copy.graph.node, nodes), (copy.graph.input, ins), (copy.graph.output, outs)):
        values = [type(v).FromString(v.SerializeToString()) for v in values]
        del field[:]
        field.extend(values)
    return copy, given, expected


def frozen(model, inputs, keep):
    """The model with the inputs that `keep` does not want as initializers, and the positions of those that stay."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    ports = list(copy.graph.input)
    kept = []
    for i, (value, array) in enumerate(zip(ports, inputs, strict=False)):
        if keep(i, array):
            kept.append(i)
        else:
            copy.graph.initializer.append(numpy_helper.from_array(array, value.name))
    del copy.graph.input[:]
    copy.graph.input.extend(ports[i] for i in kept)
    return copy, kept


def carrier(dtype):
    """The type in which Wherry's arrays hold it: float8_e4m3fn in float32, int4 in int8."""
    if dtype.isbuiltin == 1:
        return dtype
    return np.dtype(np.float32 if "float" in dtype.name else np.int8 if dtype.name.startswith("int") else np.uint8)


def in_float32(model, inputs):
    """What ONNX's reference implementation computes where every bfloat16 of the model is a float32."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    wide, narrow = onnx.TensorProto.FLOAT, onnx.TensorProto.BFLOAT16
    for value in [*copy.graph.input, *copy.graph.output, *copy.graph.value_info]:
        if value.type.tensor_type.elem_type == narrow:
            value.type.tensor_type.elem_type = wide
    for node in copy.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == narrow:
                attribute.i = wide
            if attribute.t.data_type == narrow:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float32)))
    names = [value.name for value in copy.graph.input]
    given = {n: a.astype(np.float32) if a.dtype.name == "bfloat16" else a for n, a in zip(names, inputs, strict=True)}
    return ReferenceEvaluator(copy).run(None, given)


def compare(arrays, expected, rtol, atol, exact):
    """Raises where arrays differ from those expected; bfloat16 may instead be the nearest to `exact()`."""
    if len(arrays) != len(expected):
        raise AssertionError(f"{len(arrays)} outputs, expected {len(expected)}")
    for i, (ours, theirs) in enumerate(zip(arrays, expected, strict=True)):
        if ours.shape != theirs.shape:
            raise AssertionError(f"shape {ours.shape}, expected {theirs.shape}")
        if ours.dtype != carrier(theirs.dtype):
            raise AssertionError(f"{ours.dtype}, expected {theirs.dtype}")
        found, wanted = ours.astype(np.float64), theirs.astype(np.float64)
        if np.allclose(found, wanted, rtol, max(atol, 1e-6), equal_nan=True):
            continue
        if theirs.dtype.name == "bfloat16" and np.allclose(found, exact()[i].astype(np.float64), 2**-8 + 1e-6, 1e-7):
            continue
        raise AssertionError("numbers differ")


# ---- reasons


def first_message(error):
    """The first diagnostic's code and message, without where it stands."""
    lines = str(error).strip().splitlines()
    line = lines[0].strip() if lines else type(error).__name__
    return re.sub(r"^error ", "", line)


def reason_of(error):
    text = first_message(error)
    if found := re.match(r"E203: '([^']*)', output (\d) of '([^']*)'", text):
        return f"E203: output {found[2]} of '{found[3]}' is not computed by Wherry"
    if found := re.match(r"E107: (?:input|weight|attribute) .* is a (.*), which Wherry does not read", text):
        return f"E107: a {found[1]}"
    if found := re.match(r"E702: LiteRT refuses .* gives status \d+ \((.*?)\.?;? Node number \d+ (\(\w+\)) failed", text):
        return f"E702: LiteRT refuses {found[2]}: {found[1]}"
    return re.sub(r"[\[(][0-9, ]+[\])]", "[…]", text)


def run_in_litert(file, target, arrays, expected, case, exact):
    """What stands in the way, or ""."""
    try:
        wherry.convert(file, out=target, io="nchw", verify=False)
        lite, model = wherry.TfliteModel(target), wherry.load(file)
        by_name = dict(zip([name for name, _ in model.inputs], arrays, strict=True))
        found = dict(zip([name for name, _ in lite.outputs], lite.run([by_name[name] for name, _ in lite.inputs]), strict=True))
        compare([found[name] for name, _ in model.outputs], expected, case.rtol, max(case.atol, 1e-5), exact)
    except Exception as error:  # noqa: BLE001
        return reason_of(error)
    return ""


def in_a_fork(work):
    """The text that `work` gives in a process of its own: LiteRT aborts where a kernel does not know a type."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, work().encode()[:4000])
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return text if status == 0 else "LiteRT aborts"


def run_one(case, folder, listed):
    """(reason or "", reason or "") of the reference evaluator and LiteRT."""
    if unknown := operators_of(case.model) - listed:
        return (f"the operator {min(unknown)} is not one of Wherry's",) * 2
    model, given, expected = opened(case.model, *case.data_sets[0])
    if any(a.dtype.kind in "OUS" for a in [*given, *expected]):
        return ("the operator is one of strings, which no operator of Wherry's takes",) * 2

    def exact():
        return in_float32(model, given)

    file, target = folder / "m.onnx", folder / "m.tflite"
    error = not_run = evaluated = None
    for keep in KEEPS:
        if evaluated == "" and keep is KEEPS[-1]:
            break  # LiteRT must compute something
        one, kept = frozen(model, given, keep)
        file.write_bytes(one.SerializeToString())
        arrays = [given[i] for i in kept]
        try:
            compare(wherry.load(file).run(arrays), expected, case.rtol, case.atol, exact)
            evaluated = ""
        except Exception as found:  # noqa: BLE001
            error = found
            if any(code in str(found) for code in ("E201", "E106", "E107")):
                break
            continue
        reason = in_a_fork(lambda: run_in_litert(file, target, arrays, expected, case, exact))  # noqa: B023
        if not reason:
            return "", ""
        not_run = reason
    if evaluated == "":
        return "", not_run
    if "drops at random" in str(error):
        return ("the operator is Dropout in training; `dropout` is what it is when a model is used",) * 2
    return (reason_of(error),) * 2


def run_all(pattern=""):
    """name → reasons, for every test."""
    warnings.simplefilter("ignore")
    listed = listed_operators()
    with tempfile.TemporaryDirectory() as folder:
        return {case.name: run_one(case, pathlib.Path(folder), listed) for case in collect_testcases(None) if re.search(pattern, case.name)}


def table(title, reasons):
    groups = collections.defaultdict(list)
    for name, reason in reasons.items():
        groups[reason].append(name.removeprefix("test_"))
    if not groups:
        return f"## {title}\n\nNone.\n"
    rows = [f"## {title}\n", "| reason | tests | which |", "|---|---|---|"]
    for reason, names in sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])):
        text = reason.replace("|", "\\|").replace("<", "&lt;")
        shown = ", ".join(sorted(names)[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
        rows.append(f"| {text} | {len(names)} | {shown} |")
    return "\n".join(rows) + "\n"


def is_unlisted(reason):
    return reason.startswith("the operator ")


def counts(results):
    return {
        "tests": len(results),
        "listed": sum(not is_unlisted(reasons[0]) for reasons in results.values()),
        "evaluator": sum(not reasons[0] for reasons in results.values()),
        "litert": sum(not reasons[1] for reasons in results.values()),
    }


def page(results):
    lines = [
        HEAD.format(version=onnx.__version__),
        "{tests} tests; {listed} need only operators that `wherry ops` lists: of these {evaluator} pass in the reference evaluator and "
        "{litert} in LiteRT.\n\n".format(**counts(results)),
        table(
            "Of listed operators, not passed by the reference evaluator",
            {name: r[0] for name, r in results.items() if r[0] and not is_unlisted(r[0])},
        ),
        "\n",
        table("Passed by the reference evaluator, not run in LiteRT", {name: r[1] for name, r in results.items() if r[1] and not r[0]}),
        "\n",
        table("Of other operators", {name: r[0] for name, r in results.items() if is_unlisted(r[0])}),
    ]
    return "".join(lines)


if __name__ == "__main__":
    found = run_all()
    print(json.dumps(counts(found)) if sys.argv[1:] == ["--json"] else page(found), end="")
