#!/bin/sh
# Usage: scripts/prometheus.sh
# Puts Debian's prometheus and promtool into .cache/prometheus, for the tests, unless they are on PATH. The package is
# unpacked and not installed: installed, it would start a service.
set -eu
cd "$(dirname "$0")/.."
directory=.cache/prometheus

found() { (PATH=$PATH:$directory && command -v prometheus && command -v promtool) >/dev/null; }
skip() { echo "==> No Prometheus: $1. Its tests will be skipped"; exit 0; }

found && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "it is not on PATH, and this is no Debian"

echo "==> Fetching Debian's Prometheus into $directory"
package=$(mktemp -d)
trap 'rm -rf "$package"' EXIT
download() { (cd "$package" && apt-get -qq download prometheus 2>/dev/null); }
# Without lists of packages apt knows none, and only root may fetch these.
download || { [ "$(id -u)" = 0 ] && apt-get -qq update && download; } || skip "apt-get cannot download it"
(cd "$package" && dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/prometheus ./usr/bin/promtool)
mkdir -p "$directory"
mv "$package"/usr/bin/* "$directory"
