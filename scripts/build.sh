#!/usr/bin/env bash
# Configures and builds build/release, quietly unless something fails. Arguments go to cmake's configure step.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build/release
printf '== build (log: build/release/build.log)\n'
if ! { cmake --preset release "$@" && cmake --build --preset release; } > build/release/build.log 2>&1; then
  tail -n 60 build/release/build.log
  printf '== the build failed; whole log in build/release/build.log\n'
  exit 1
fi
