#!/usr/bin/env bash
# Installs what a build and its tests need on Debian 12 and does nothing that is already done:
#   packages of the distribution (compiler, CMake, header-only libraries), Rust when there is none new enough, and a Python
#   environment in .venv that carries LibTorch and the loaders that the tests verify against.
# The library itself needs no Python at run time.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '== %s\n' "$*"; }

packages=(g++ cmake ninja-build ccache pkg-config make python3-venv libmsgsl-dev libtomlplusplus-dev libspdlog-dev libfmt-dev
          nlohmann-json3-dev libyaml-cpp-dev libcli11-dev libpcre2-dev libxxhash-dev catch2)
command -v cargo >/dev/null || packages+=(rustc-web cargo-web)
command -v javac >/dev/null || packages+=(openjdk-17-jdk-headless)
command -v mvn >/dev/null || packages+=(maven)
command -v mcs >/dev/null || packages+=(mono-mcs)
command -v mono >/dev/null || packages+=(mono-runtime)
# Go 1.24 is newer than the distribution's: where there is none, its tests are skipped and say so.
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
say "ready"
