#!/usr/bin/env bash
# Builds everything and runs every test. Arguments go to ctest: scripts/test.sh -L capi
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/bootstrap.sh
bash scripts/build.sh
.venv/bin/python scripts/make_model.py --output .cache/models/SmolLM2-135M-Instruct
printf '== tests\n'
exec ctest --preset release "$@"
