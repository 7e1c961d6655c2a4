#!/usr/bin/env bash
# installed.sh CMAKE BUILD_DIR SOURCE_DIR CARGO: builds the example against a copy that pkg-config finds, in a prefix whose path holds
# a space and a letter beyond ASCII, and starts it as README.md says, without LD_LIBRARY_PATH.
set -euo pipefail
cmake=$1 build=$2 source=$3 cargo=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix="$work/préfixe with space"
unset AUTOROUND_LIB_DIR LD_LIBRARY_PATH
"$cmake" --install "$build" --prefix "$prefix" > "$work/install.log"
PKG_CONFIG_PATH="$(dirname "$(find "$prefix" -name autoround.pc)")"
export PKG_CONFIG_PATH CARGO_TARGET_DIR="$work/target"
cd "$source/examples/rust"
"$cargo" build --quiet --locked

if "$cargo" run --quiet --locked -- /no/such/model text.txt out 2> "$work/said"; then
  echo "a model that is not there was quantized"; exit 1
fi
grep '^/no/such/model: ' "$work/said"

# And nothing is guessed: without the library the build says what to set.
if PKG_CONFIG_PATH="$work" PKG_CONFIG_LIBDIR="$work" "$cargo" build --quiet --locked 2> "$work/said"; then
  echo "a library that is not there was found"; exit 1
fi
grep -q 'set AUTOROUND_LIB_DIR to the folder that holds libautoround.so' "$work/said"
