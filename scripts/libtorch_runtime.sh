#!/usr/bin/env bash
# libtorch_runtime.sh DIRECTORY [TORCH_DIR]: copies what an installed libautoround.so needs of LibTorch (about 440 MB) into DIRECTORY, which is
# best /opt/libtorch/lib. TORCH_DIR holds lib/libtorch_cpu.so; default: AUTOROUND_TORCH_DIR, or the torch package of .venv.
set -euo pipefail
directory=${1:?libtorch_runtime.sh DIRECTORY [TORCH_DIR]}
torch=${2:-${AUTOROUND_TORCH_DIR:-$(echo "$(cd "$(dirname "$0")/.." && pwd)"/.venv/lib/python3*/site-packages/torch)}}
library=$torch/lib/libtorch_cpu.so
[ -f "$library" ] || { echo "there is no $library; scripts/bootstrap.sh installs it into .venv" >&2; exit 1; }
mkdir -p "$directory"
# Itself, and whatever of its dependencies is not the system's.
{ echo "$library"; ldd "$library" | sed -nE 's/.* => (\/.*) \(0x[0-9a-f]+\)$/\1/p' | grep -vE '^/(usr/)?lib(64)?/'; } | while read -r file; do
  cp -L --reflink=auto "$file" "$directory/"
done
du -shL "$directory"
