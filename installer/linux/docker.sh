#!/usr/bin/env bash
# An exit node beside Docker's own daemon, part of "make e2e": Debian's packages are
# unpacked, not installed, so that no daemon rules this machine. docker.sh BIN
set -euo pipefail
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" -ne 0 ]; then
  echo "Namespaces need root; sudo may ask for your password."
  exec sudo --preserve-env=XDG_CACHE_HOME,PATH,GOFLAGS "$0" "$bin"
fi
"$here/deps.sh" docker
root=${XDG_CACHE_HOME:-$HOME/.cache}/kith/docker
if [ ! -x "$root/usr/sbin/dockerd" ]; then
  rm -rf "$root" "$root.new"
  mkdir -p "$root.new/deb"
  cd "$root.new/deb"
  get() { apt-get download -q docker.io containerd runc 2>/dev/null; }
  get || { apt-get update -q && get; }
  for deb in *.deb; do dpkg-deb -x "$deb" "$root.new"; done
  rm -r "$root.new/deb"
  mv "$root.new" "$root"
fi
cd "$here/../.."
KITH_BIN=$bin KITH_DOCKER=$root go test -count=1 -timeout 10m -tags docker -run '^TestNetnsExitDocker$' ./helper/internal/e2e
