#!/bin/bash
# A text → .keras as a whole process: seconds and peak memory, unverified, the median of N runs (default 7).
#   bench/keras.sh MODEL.yaml [N] -- wherry's own options (--seed 1, --weights FILE)
# Peer: the report's route (a Keras twin by hand and TensorFlow), 26.8 s and 1.4 GB.
set -euo pipefail
model=$1 runs=7
shift
[[ ${1:-} =~ ^[0-9]+$ ]] && runs=$1 && shift
[ "${1:-}" = "--" ] && shift
out=$(mktemp -d)
trap 'rm -r "$out"' EXIT
for _ in $(seq "$runs"); do
  /usr/bin/time -f "%e %M" "${WHERRY:-wherry}" convert "$model" -o "$out/model.keras" --no-verify --quiet "$@" 2>&1 | tail -1
done | sort -n | awk '{s[NR] = $1; if ($2 > m) m = $2} END {printf "%.2f s (median of %d), peak %.0f MB\n", s[int((NR + 1) / 2)], NR, m * 1024 / 1e6}'
