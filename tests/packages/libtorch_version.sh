#!/usr/bin/env bash
# libtorch_version.sh CMAKE SOURCE_DIR: cmake/FindLibTorch.cmake takes a folder of the version that CMakeLists.txt asks for, of any patch, and refuses others,
# and takes none but the folder that is named.
set -euo pipefail
cmake=$1 source=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wanted=$(sed -nE 's/^find_package\(LibTorch ([0-9]+\.[0-9]+) .*/\1/p' "$source/CMakeLists.txt")
major=${wanted%.*} minor=${wanted#*.}

# libtorch MAJOR MINOR PATCH [HEADERS]: the files of one that are looked at, in a folder of that name.
libtorch() {
  local folder=$work/$1.$2.$3 headers=${4:-torch/headeronly}
  mkdir -p "$folder/include/ATen" "$folder/include/$headers" "$folder/lib"
  touch "$folder/include/ATen/ATen.h" "$folder"/lib/{libtorch_cpu.so,libc10.so,libgomp.so.1}
  printf '#define TORCH_VERSION_%s %s\n' MAJOR "$1" MINOR "$2" PATCH "$3" > "$folder/include/$headers/version.h"
}
mkdir "$work/project"
cat > "$work/project/CMakeLists.txt" <<CMAKE
cmake_minimum_required(VERSION 3.25)
project(finds LANGUAGES NONE)
set(CMAKE_FIND_LIBRARY_PREFIXES lib)
set(CMAKE_FIND_LIBRARY_SUFFIXES .so)
set_property(GLOBAL PROPERTY TARGET_SUPPORTS_SHARED_LIBS ON)
list(APPEND CMAKE_MODULE_PATH "$source/cmake")
find_package(LibTorch $wanted REQUIRED)
message(STATUS "taken: \${LibTorch_VERSION}")
CMAKE
# finds VERSION: configures one and the same build folder with it.
finds() { "$cmake" -S "$work/project" -B "$work/build" -DAUTOROUND_TORCH_DIR="$work/$1" > "$work/said" 2>&1; }

for other in "$major $((minor + 1)) 0" "$((major + 1)) $minor 0" "$major $((minor - 1)) 9 torch/csrc/api/include/torch"; do
  libtorch $other
  read -r -a part <<< "$other"
  name=${part[0]}.${part[1]}.${part[2]}
  if finds "$name"; then echo "LibTorch $name was taken for $wanted"; exit 1; fi
  grep -q "found LibTorch $name in $work/$name/include, wanted $wanted" <(tr -s ' \n' ' ' < "$work/said") || { cat "$work/said"; exit 1; }
done
for patch in 0 7; do
  libtorch "$major" "$minor" $patch
  finds "$wanted.$patch" || { cat "$work/said"; exit 1; } # what was refused before is not remembered
  grep "taken: $wanted.$patch" "$work/said"
  rm "$work/build/CMakeCache.txt"
done

mkdir -p "$work/project/.venv/lib/python3.11/site-packages"
ln -s "$work/$wanted.0" "$work/project/.venv/lib/python3.11/site-packages/torch"
finds "$wanted.7" || { cat "$work/said"; exit 1; }
if finds nowhere; then echo "another LibTorch was taken than the one that is named"; exit 1; fi # neither the last one nor that of .venv
grep -q 'Could NOT find LibTorch' "$work/said" || { cat "$work/said"; exit 1; }
"$cmake" -S "$work/project" -B "$work/build" -DAUTOROUND_TORCH_DIR= | grep "taken: $wanted.0"
