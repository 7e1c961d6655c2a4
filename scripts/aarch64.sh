#!/usr/bin/env bash
# Compiles the library for aarch64 with Debian's cross compiler: every file, or with --kernels those that depend on the
# processor. Then nothing is linked or run. With --run it also fetches LibTorch and the libraries for aarch64, links the
# tests of the folders named in AUTOROUND_AARCH64_TESTS and runs them under qemu (Debian's qemu-user), which takes half
# an hour.
#   scripts/aarch64.sh [--kernels | --run] [BUILD_FOLDER]
set -euo pipefail
cd "$(dirname "$0")/.."
mode=all
case "${1:-}" in --kernels | --run) mode=${1#--}; shift ;; esac
build=${1:-build/aarch64}
compiler=aarch64-linux-gnu-g++
command -v "$compiler" >/dev/null || { echo "$compiler is not installed: apt-get install g++-aarch64-linux-gnu"; exit 77; }
read -ra tests <<<"${AUTOROUND_AARCH64_TESTS:-base model_kernels quant model}"

object() { echo "$1/CMakeFiles/$2.dir/$3.o"; }  # of folder, target, source
targets=(autoround_session)
for source in capi/src/*.cpp; do targets+=("$(object capi autoround "${source#capi/}")"); done
if [ "$mode" = kernels ]; then
  targets=(autoround_base autoround_model_kernels)
  for file in model/{compute_type,linear_products,fused_ops_attention,fused_ops_rows} quant/{kernels,kernels_portable,packing}; do
    targets+=("$(object "cpp/${file%/*}" "autoround_${file%/*}" "${file#*/}.cpp")")
  done
fi

# Headers that are the same on every processor, without those of this machine's C library beside them.
mkdir -p "$build/headers/lib"
for header in gsl toml++ spdlog fmt nlohmann xxhash.h yaml-cpp pcre2.h CLI catch2; do
  ln -sfn "/usr/include/$header" "$build/headers/$header"
done
options=(-DAUTOROUND_YAML_CPP_LIBRARY=yaml-cpp -DAUTOROUND_PCRE2_LIBRARY=pcre2-8 -DAUTOROUND_BUILD_TESTS=OFF
  -DAUTOROUND_BUILD_CLI=OFF)

# Into $build/torch: the libraries of the torch wheel, and what they need beside them of the wheels that it depends on.
fetch_torch() {
  local version wheels=$build/wheels
  version=$(sed -n 's/^torch==//p' scripts/requirements.txt)
  [ -e "$build/torch/lib/libtorch_cpu.so" ] && return
  .venv/bin/python -m pip download --quiet --no-deps --only-binary=:all: --python-version 3.11 --dest "$wheels" \
    --platform manylinux_2_28_aarch64 --platform manylinux_2_25_aarch64 --platform manylinux2014_aarch64 \
    "torch==$version" $(.venv/bin/python -m pip freeze | grep -E '^nvidia-cuda-(runtime|cupti)==')
  for wheel in "$wheels"/*.whl; do .venv/bin/python -m zipfile -e "$wheel" "$build/unpacked"; done
  ln -sfn unpacked/torch "$build/torch"
  rm -r "$wheels"
}
# libyaml-cpp and libpcre2-8 of Debian's arm64 port, by an apt of our own that leaves this machine's alone.
fetch_libraries() {
  [ -e "$build/headers/lib/libyaml-cpp.so" ] && return
  local apt
  apt=$(realpath "$build")/apt
  mkdir -p "$apt"/lists/partial "$apt"/cache/archives/partial
  : >"$apt/status"
  printf '%s\n' "Dir::State \"$apt\";" "Dir::State::status \"$apt/status\";" "Dir::Cache \"$apt/cache\";" \
    'APT::Architecture "arm64";' 'APT::Architectures { "arm64"; };' >"$apt/apt.conf"
  (cd "$apt" && export APT_CONFIG=$apt/apt.conf && apt-get update -qq &&
    apt-get download -qq libyaml-cpp-dev libyaml-cpp0.7 libpcre2-dev libpcre2-8-0)
  for package in "$apt"/*.deb; do dpkg -x "$package" "$apt/root"; done
  cp -a "$apt"/root/usr/lib/aarch64-linux-gnu/lib{yaml-cpp,pcre2-8}.so* "$build/headers/lib/"
}
if [ "$mode" = run ]; then
  command -v qemu-aarch64 >/dev/null || { echo "qemu-aarch64 is not installed: apt-get install qemu-user"; exit 77; }
  fetch_torch
  fetch_libraries
  targets=("${tests[@]/#/test_}")
  options=(-DAUTOROUND_TORCH_DIR="$(realpath "$build")/torch" -DAUTOROUND_BUILD_TESTS=ON -DAUTOROUND_BUILD_CLI=ON
    "-DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64;-L;/usr/aarch64-linux-gnu")
fi

cmake -S . -B "$build" -G Ninja -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
  -DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_BUILD_TYPE=Release \
  -DAUTOROUND_HEADERS_DIR="$(realpath "$build")/headers" -DAUTOROUND_WERROR=ON -DAUTOROUND_CUDA=OFF \
  "${options[@]}" >/dev/null
cmake --build "$build" -j2 --target "${targets[@]}"
echo "compiled for aarch64: $(find "$build" -name '*.o' | wc -l) files"
[ "$mode" = run ] || exit 0
for test in "${tests[@]}"; do
  echo "== test_$test"
  qemu-aarch64 -L /usr/aarch64-linux-gnu "$build"/tests/unit/"$test/test_$test"
done
