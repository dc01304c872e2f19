"""Photographs as the peers' scripts take them, with Pillow and NumPy; or those that calibrate as one .npy.

photographs.py FOLDER OUT.npy [--preprocess lite0|fbnet]    float32 [200, 224, 224, 3]
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

PREPROCESS = {  # as models/*.yaml say
    "lite0": (Image.Resampling.BICUBIC, 1.0, [127.0] * 3, [128.0] * 3),
    "fbnet": (Image.Resampling.BICUBIC, 1 / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
}


def prepared(file: Path, which: str) -> np.ndarray:
    resampling, scale, mean, deviation = PREPROCESS[which]
    image = Image.open(file).convert("RGB")
    factor = 256 / min(image.size)
    image = image.resize([max(256, int(side * factor)) for side in image.size], resampling)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), np.float32) * np.float32(scale)
    return ((pixels - np.array(mean, np.float32)) / np.array(deviation, np.float32))[None].astype(np.float32)


def calibrating(folder: Path) -> list[Path]:
    """Every file of the sorted folder whose number modulo 5 is 0 or 1: 200 of 500."""
    return [file for i, file in enumerate(sorted(folder.iterdir())) if i % 5 < 2]


def scored(folder: Path) -> list[Path]:
    """The others."""
    return [file for i, file in enumerate(sorted(folder.iterdir())) if i % 5 >= 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--preprocess", choices=sorted(PREPROCESS), default="lite0")
    args = parser.parse_args()
    np.save(args.out, np.concatenate([prepared(file, args.preprocess) for file in calibrating(args.folder)]))


if __name__ == "__main__":
    main()
