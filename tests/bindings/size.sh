#!/usr/bin/env bash
# size.sh SCENE: what ships beside LibTorch takes at most 8 MB, stripped: the library, the command, and the wrappers of the JVM and of .NET.
set -euo pipefail
limit=8000000
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
total=0
add() { # add NAME FILE
  strip -o "$work/stripped" "$2"
  local size
  size=$(stat -c %s "$work/stripped")
  total=$((total + size))
  printf '%10d  %s\n' "$size" "$1"
}
add libautoround.so "$(find "$1/prefix" -name 'libautoround.so.*.*.*')"
add autoround "$1/prefix/bin/autoround"
for wrapper in $(find "$1/java/native/jar" "$1/csharp/built/runtimes" -name 'libautoround_*.so' 2> /dev/null); do add "$(basename "$wrapper")" "$wrapper"; done
printf '%10d  in all; at most %d\n' "$total" "$limit"
[ "$total" -le "$limit" ]
