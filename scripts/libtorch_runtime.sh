#!/usr/bin/env bash
# libtorch_runtime.sh DIRECTORY [TORCH_DIR]: copies what an installed libautoround.so needs of LibTorch (about 460 MB) into DIRECTORY, which is
# best /opt/libtorch/lib. TORCH_DIR holds lib/libtorch_cpu.so; default: AUTOROUND_TORCH_DIR, or the torch package of .venv.
set -euo pipefail
directory=${1:?libtorch_runtime.sh DIRECTORY [TORCH_DIR]}
torch=${2:-${AUTOROUND_TORCH_DIR:-$(echo "$(cd "$(dirname "$0")/.." && pwd)"/.venv/lib/python3*/site-packages/torch)}}
library=$torch/lib/libtorch_cpu.so
[ -f "$library" ] || { echo "there is no $library; scripts/bootstrap.sh installs it into .venv" >&2; exit 1; }
needed=$(ldd "$library")
if missing=$(grep 'not found' <<< "$needed"); then
  printf 'what %s needs is not there:\n%s\n' "$library" "$missing" >&2
  exit 1
fi
mkdir -p "$directory"
# Itself, and whatever of its dependencies is not the system's.
{ echo "$library"; sed -nE '/=> \/(usr\/)?lib(64)?\//d; s/.* => (\/.*) \(0x[0-9a-f]+\)$/\1/p' <<< "$needed"; } | while read -r file; do
  cp -L --reflink=auto "$file" "$directory/"
done
du -shL --si "$directory"
