#!/usr/bin/env bash
# Files over 800 lines and lines over 160 columns fail; so does an include that climbs out of its layer.
set -euo pipefail
cd "$(dirname "$0")/.."
status=0
while read -r file; do
  lines=$(wc -l <"$file")
  if [ "$lines" -gt 800 ]; then echo "$file: $lines lines; split it"; status=1; fi
done < <(find src python tests -name '*.cpp' -o -name '*.h' -o -name '*.py')
if grep -rnE '.{161,}' --include='*.cpp' --include='*.h' src; then echo "lines over 160 columns"; status=1; fi
if grep -rn '#include "\.\./' src; then echo "an include climbs out of its layer"; status=1; fi
exit $status
