"""Run by test_source_keras.py on one backend: the source code that lies in a folder, in one process. Prints {name: what is wrong}."""

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
sys.path.insert(0, str(folder))


def trouble(name):
    module = __import__(name)
    model = module.load_weights(getattr(module, module.__all__[0])(), folder / f"{name}.safetensors")
    arrays = np.load(folder / f"{name}.npz")
    given = [arrays[key] for key in sorted(arrays.files) if key.startswith("x")]
    found = keras.tree.flatten(model(given[0] if len(given) == 1 else given, training=False))
    for i, y in enumerate(map(keras.ops.convert_to_numpy, found)):
        expected = arrays[f"y{i}"]
        if y.shape != expected.shape:
            return f"output {i}: shape {y.shape} instead of {expected.shape}"
        error = float(np.abs(y - expected).max() / np.abs(expected).max())
        if not error <= 3e-5:
            return f"output {i}: error {error:.1e} of the scale"
    return None


faults = {}
for file in sorted(folder.glob("*.npz")):
    if sys.argv[3:] and file.stem not in sys.argv[3:]:
        continue
    try:
        problem = trouble(file.stem)
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
    if problem:
        faults[file.stem] = problem
print(json.dumps(faults))
