#!/bin/sh
# Usage: scripts/dependencies.sh PYTHON BACKEND [test]
# Installs for the given interpreter what the locks of BACKEND (cuda or cpu) and of the tests name.
set -eu
cd "$(dirname "$0")/.."
python=$1 backend=$2
torch=2.13.0+cpu torchvision=0.28.0+cpu
cpu_index=https://download.pytorch.org/whl/cpu

install() { "$python" -m pip install --quiet --no-compile --no-deps "$@"; }

# No lock can hold torch's CPU build, as a wheel of one's own has its own hash; what an index says of its files is checked.
if [ "$backend" = cpu ] && ! install "torch==$torch" 2>/dev/null; then
    echo "==> No CPU build of torch in the configured index; fetching it from $cpu_index"
    install --index-url "$cpu_index" "torch==$torch"
    install --index-url "$cpu_index" "torchvision==$torchvision" ||
        echo "==> Going on with the torchvision of the configured index"
fi

# The locks are complete, so pip need not look for what goes together, which would take minutes.
install --require-hashes --requirement "scripts/locks/$backend.txt" ${3:+--requirement "scripts/locks/$3.txt"}

if [ "$backend" = cpu ]; then
    # Only does something where torchvision is a CUDA build.
    "$python" scripts/torchvision_shim.py
    "$python" scripts/vllm_distribution.py
fi
