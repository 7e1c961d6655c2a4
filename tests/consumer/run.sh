#!/usr/bin/env bash
# run.sh CMAKE BUILD_DIR SOURCE_DIR WRITE_TOY
set -euo pipefail
cmake=$1 build=$2 source=$3 write_toy=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix="$work/préfixe with space"
step() { printf -- '-- %s\n' "$*"; }

step install
"$cmake" --install "$build" --prefix "$prefix" > "$work/install.log"
library=$(find "$prefix" -name 'libautoround.so')
export PKG_CONFIG_PATH="$(dirname "$library")/pkgconfig"
"$write_toy" "$work/model"
for i in $(seq 8); do printf '{"input_ids": [%s]}\n' "$(seq -s, "$i" $((i + 40)))"; done > "$work/ids.jsonl"
cp "$source/tests/support/tiny_tokenizer/tokenizer.json" "$work/model/"

step pkg-config
pkg-config --validate autoround
eval "flags=($(pkg-config --cflags --libs autoround))"
for program in quantize stepwise; do
  cc -std=c99 -Wall -Wextra -Wpedantic -Werror "$source/examples/c/$program.c" "${flags[@]}" -Wl,--no-undefined \
    -Wl,-rpath,"$(dirname "$library")" -o "$work/$program"
  # The toy's columns are multiples of 32, the examples' groups are of 64: the message must say so.
  if "$work/$program" "$work/model" "$work/ids.jsonl" "$work/$program.out" 2 2> "$work/$program.err"; then
    echo "$program: a group size that does not divide was accepted"; exit 1
  fi
  grep -q 'group_size' "$work/$program.err"
done
cc -std=c99 -Wall -Wextra -Wpedantic -Werror "$source/examples/c/layer.c" "${flags[@]}" -Wl,--no-undefined \
  -Wl,-rpath,"$(dirname "$library")" -o "$work/layer"
"$work/layer" 30 | tee "$work/layer.txt"
awk '/loss/ { exit !($5 < 0.9 * $3) }' "$work/layer.txt" # tuning gains, not only runs
g++ -std=c++11 -Wall -Werror "$source/tests/consumer/find_package/main.cpp" "${flags[@]}" \
  -Wl,-rpath,"$(dirname "$library")" -o "$work/cxx"
"$work/cxx" "$work/model"

step find_package
"$cmake" -S "$source/tests/consumer/find_package" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$prefix" > "$work/configure.log"
"$cmake" --build "$work/consumer" > "$work/build.log"
"$work/consumer/consumer" "$work/model"

step dlopen
cc -std=c99 -D_POSIX_C_SOURCE=200809L -I"$prefix/include" "$source/tests/consumer/dlopen.c" -ldl -o "$work/dlopen"
"$work/dlopen" "$library" "$work/model"

step 'the installed command'
"$prefix/bin/autoround" quantize "$work/model" --output "$work/quantized" --scheme W4A16 --group-size 32 --seqlen 16 --iters 2 \
  --calibration "$work/ids.jsonl" --quiet
"$prefix/bin/autoround" perplexity "$work/quantized" --text "$work/ids.jsonl" --tokenizer "$work/model/tokenizer.json" --seqlen 16
