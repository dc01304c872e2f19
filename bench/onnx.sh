#!/usr/bin/env bash
# ONNX → .tflite, whole process, against onnx2tf on the same files: seconds (median of 5) and peak memory. onnx2tf runs where
# bench/setup_peers.sh has installed it. Usage: bench/onnx.sh FBNET_A.pt2 [WHERRY]
set -euo pipefail
cd "$(dirname "$0")/.."
source=$(realpath "$1")
wherry=${2:-.venv/bin/wherry}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$wherry" convert "$source" -o "$folder/fbnet_a.onnx" --no-verify --quiet
"$wherry" convert models/efficientnet_lite0.yaml --seed 0 -o "$folder/efficientnet_lite0.onnx" --no-verify --quiet

measure() {  # measure NAME COMMAND…: the median of five runs
  local name=$1 runs="$folder/runs"
  shift
  : > "$runs"
  for _ in 1 2 3 4 5; do python3 bench/measure_once.py "$@" >> "$runs"; done
  sort -n "$runs" | sed -n 3p | awk -v name="$name" '{printf "| %s | %.3f s | %.0f MB |\n", name, $1, $2}'
}

echo "| ONNX → .tflite | time | peak |"
echo "|---|---|---|"
for model in fbnet_a efficientnet_lite0; do
  measure "$model, wherry --no-verify" "$wherry" convert "$folder/$model.onnx" -o "$folder/$model.tflite" --no-verify --quiet
  measure "$model, wherry, verified" "$wherry" convert "$folder/$model.onnx" -o "$folder/$model.tflite" --quiet
  if [ -x .bench/onnx2tf/bin/onnx2tf ]; then
    measure "$model, onnx2tf" .bench/onnx2tf/bin/onnx2tf -i "$folder/$model.onnx" -o "$folder/peer" --non_verbose
  fi
done
