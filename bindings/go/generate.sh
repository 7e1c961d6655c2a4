#!/usr/bin/env bash
# generate.sh [DIRECTORY]: writes the generated layer, which is committed so that `go get` needs no SWIG. Needs swig 4.5.1 on PATH.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-$here/internal/swig}
mkdir -p "$target"
# -no-unique-id: symbol names do not change with every change of the interface.
cd "$here/../swig"
swig -c++ -Wall -Werror -go -cgo -intgosize 64 -no-unique-id -DSWIGWORDSIZE64 -package swig -outdir "$target" -o "$target/autoround_wrap.cxx" autoround.i
# The wrapper includes them; a module holds only what lies below its go.mod, and vendoring copies only folders that hold Go files.
cp facade*.hpp "$target/"
