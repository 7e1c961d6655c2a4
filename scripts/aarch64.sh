#!/usr/bin/env bash
# Compiles the library for aarch64 with Debian's cross compiler: every file, or with --kernels those that depend on the
# processor. Nothing is linked or run: that takes LibTorch for aarch64, whose headers are those of x86-64.
#   scripts/aarch64.sh [--kernels] [BUILD_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
object() { echo "$1/CMakeFiles/$2.dir/$3.o"; }  # of folder, target, source
targets=(autoround_session)
for source in capi/src/*.cpp; do targets+=("$(object capi autoround "${source#capi/}")"); done
if [ "${1:-}" = --kernels ]; then
  targets=(autoround_base autoround_model_kernels)
  for file in model/{compute_type,linear_products,fused_ops_attention,fused_ops_rows} quant/{kernels,kernels_portable,packing}; do
    targets+=("$(object "cpp/${file%/*}" "autoround_${file%/*}" "${file#*/}.cpp")")
  done
  shift
fi
build=${1:-build/aarch64}
compiler=aarch64-linux-gnu-g++
command -v "$compiler" >/dev/null || { echo "$compiler is not installed: apt-get install g++-aarch64-linux-gnu"; exit 77; }

# Headers that are the same on every processor, without those of this machine's C library beside them.
mkdir -p "$build/headers"
for header in gsl toml++ spdlog fmt nlohmann xxhash.h yaml-cpp pcre2.h CLI; do
  ln -sfn "/usr/include/$header" "$build/headers/$header"
done
cmake -S . -B "$build" -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release \
  -DAUTOROUND_HEADERS_DIR="$PWD/$build/headers" -DAUTOROUND_YAML_CPP_LIBRARY=yaml-cpp -DAUTOROUND_PCRE2_LIBRARY=pcre2-8 \
  -DAUTOROUND_WERROR=ON -DAUTOROUND_CUDA=OFF -DAUTOROUND_BUILD_TESTS=OFF -DAUTOROUND_BUILD_CLI=OFF >/dev/null
cmake --build "$build" -j2 --target "${targets[@]}"
echo "compiled for aarch64: $(find "$build" -name '*.o' | wc -l) files"
