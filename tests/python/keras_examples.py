"""Run by test_keras_operators.py on one backend: every archive of a folder and its source code, in one process.

Prints {example: what is wrong}.
"""

import json
import os
import sys
from pathlib import Path

folder, backend = Path(sys.argv[1]), sys.argv[2]
os.environ["KERAS_BACKEND"] = backend
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import keras  # noqa: E402
import numpy as np  # noqa: E402

keras.utils.disable_interactive_logging()
data = (folder / "examples.bin").read_bytes()


def array(spec):
    dtype = np.dtype(spec["dtype"])
    count = int(np.prod(spec["shape"], dtype=np.int64))
    return np.frombuffer(data, dtype, count, spec["offset"]).reshape(spec["shape"])


def from_archive(entry):
    return keras.saving.load_model(folder / entry["file"], compile=False)


def from_code(entry):
    names = {}
    exec(compile(entry["code"], "code.py", "exec"), names)
    return names["load_weights"](names[entry["entry"]](), folder / entry["weights"])


def trouble(entry, model):
    """What differs, or nothing."""
    given = [keras.ops.convert_to_tensor(array(spec)) for spec in entry["inputs"]]
    found = model(given[0] if len(given) == 1 else given, training=False)
    if isinstance(found, dict):  # whose names are numbers
        found = [found[name] for name in sorted(found, key=int)]
    found = [keras.ops.convert_to_numpy(t) for t in keras.tree.flatten(found)]
    expected = [array(spec) for spec in entry["outputs"]]
    if len(found) != len(expected):
        return f"{len(found)} outputs instead of {len(expected)}"
    for ours, theirs in zip(expected, found, strict=True):
        if ours.shape != theirs.shape:
            return f"shape {theirs.shape} instead of {ours.shape}"
        if not ours.size:
            continue
        if ours.dtype.kind != "f":
            if not np.array_equal(ours, theirs):
                return f"{theirs.ravel()[:8]} instead of {ours.ravel()[:8]}"
            continue
        if not np.array_equal(np.isfinite(ours), np.isfinite(theirs)):
            return "NaN or infinity where there was none"
        finite = np.isfinite(ours)
        scale = max(1.0, float(np.max(np.abs(ours[finite]), initial=0)))
        error = float(np.max(np.abs(ours[finite].astype(np.float64) - theirs[finite]), initial=0)) / scale
        if error > 3e-5:
            return f"error {error:.1e} of the scale"
    return None


faults = {}
for entry in json.loads((folder / "examples.json").read_text()):
    if "file" not in entry:
        continue
    for form, make in (("layers", from_archive), ("code", from_code)):
        if form not in entry:
            continue
        try:
            problem = trouble(entry, make(entry))
        except Exception as error:
            problem = f"{type(error).__name__}: {str(error)[:500]}"
        if problem:
            faults[f"{entry['example']} ({form})"] = problem + "\n" + entry[form]
print(json.dumps(faults))
