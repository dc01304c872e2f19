#!/usr/bin/env bash
# Sizes in the precisions that need no data, each file verified in LiteRT: WEIGHTS.pth of EfficientNet-Lite0, fbnet_a.pt2.
set -euo pipefail
root=$(dirname "$0")/..
wherry=${WHERRY:-$root/.venv/bin/wherry}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
measure() {
  "$wherry" convert "${@:2}" -o "$folder/out.tflite" --precision "$1" --json 2>/dev/null |
    python3 -c 'import json, sys; r = json.load(sys.stdin); print(*sys.argv[1:], r["bytes"], "bytes", round(r["sqnr_db"], 1), "dB")' "$1" "$2"
}
for precision in float32 float16 dynamic int8-weights int4; do
  measure $precision "$root/models/efficientnet_lite0.yaml" --weights "$1"
  measure $precision "$2"
done
