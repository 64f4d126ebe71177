#!/bin/sh
# Usage: scripts/setup.sh PYTHON BACKEND [test]
# Installs this repository for the given interpreter, with what the locks of BACKEND (cuda or cpu) and of the tests name.
set -eu
cd "$(dirname "$0")/.."
python=$1 backend=$2

echo "==> Installing gprune-vllm for $backend (minutes the first time)"
scripts/dependencies.sh "$@"
"$python" -m pip install --quiet --no-compile --no-deps --no-build-isolation --editable .
