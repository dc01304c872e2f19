"""Converts a torch.export archive with LiteRT-Torch: litert_torch_convert.py MODEL.pt2 OUT.tflite [--io nhwc|nchw]."""

import argparse

import litert_torch
import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--io", choices=["nhwc", "nchw"], default="nhwc")
    args = parser.parse_args()

    module = torch.export.load(args.source).module()
    image = torch.zeros(1, 3, 224, 224)
    if args.io == "nhwc":
        module = litert_torch.to_channel_last_io(module, args=[0])
        image = image.permute(0, 2, 3, 1).contiguous()
    litert_torch.convert(module, (image,)).export(args.out)


if __name__ == "__main__":
    main()
