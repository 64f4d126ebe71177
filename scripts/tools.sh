#!/bin/sh
# Usage: scripts/tools.sh PYTHON
# Puts into .cache/tools what tests run and .venv cannot hold: Debian's prometheus, promtool and kubectl, unless they are
# on PATH, and checkov, whose pinned packages would replace vLLM's. Chromium is installed. What cannot be had is skipped.
set -eu
cd "$(dirname "$0")/.."
python=$1 tools=$PWD/.cache/tools
PATH=$PATH:$tools
mkdir -p "$tools"

have() { for program; do command -v "$program" >/dev/null || return 1; done; }
skip() { echo "==> No $1: $2. Its tests will be skipped"; exit 0; }

# from_debian PACKAGE PROGRAM...
# The package is unpacked and not installed: installed, Prometheus would start a service.
from_debian() (
    package=$1; shift
    ! have "$@" || exit 0
    have apt-get dpkg-deb || skip "$package" "it is not on PATH, and this is no Debian"
    echo "==> Fetching Debian's $package into .cache/tools"
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    cd "$folder"
    download() { apt-get -qq download "$package" 2>/dev/null; }
    # Without lists of packages apt knows none, and only root may fetch these.
    download || { [ "$(id -u)" = 0 ] && apt-get -qq update && download; } || skip "$package" "apt-get cannot download it"
    dpkg-deb --fsys-tarfile ./*.deb | tar -x ./usr/bin
    for program; do mv "usr/bin/$program" "$tools"; done
)

# installed PACKAGE PROGRAM
# With hundreds of libraries it is nothing to unpack: root installs it, as others would have to.
installed() (
    package=$1 program=$2
    ! have "$program" || exit 0
    { have apt-get && [ "$(id -u)" = 0 ]; } || skip "$package" "it is not on PATH, and only root can install it"
    echo "==> Installing Debian's $package"
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$package" >/dev/null 2>&1 ||
        skip "$package" "apt-get cannot install it"
)

# from_pypi PROGRAM VERSION
# It gets an environment below a .venv, which linters leave out, and a link once all is there.
from_pypi() (
    environment=.venv/$1-$2
    [ "$(readlink "$tools/$1")" != "$environment/bin/$1" ] || exit 0
    echo "==> Installing $1 $2 into .cache/tools"
    "$python" -m venv --clear "$tools/$environment"
    "$tools/$environment/bin/pip" install --quiet "$1==$2" || skip "$1" "pip cannot install it"
    ln -sfn "$environment/bin/$1" "$tools/$1"
)

from_debian prometheus prometheus promtool
from_debian kubernetes-client kubectl
installed chromium chromium
from_pypi checkov 3.3.30
