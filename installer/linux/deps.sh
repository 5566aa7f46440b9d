#!/usr/bin/env bash
# Installs the Debian packages that building ("build"), also testing ("test"),
# booting machines ("e2e"), running Windows programs ("wine") or Docker's daemon
# ("docker") needs. It installs only what is missing and asks sudo only then.
# miniupnpd-nftables is the bare program: unlike miniupnpd it has no service that
# could start.
set -euo pipefail

build="gcc libc6-dev make pkg-config libgl-dev libx11-dev libxcursor-dev libxrandr-dev libxinerama-dev
  libxi-dev libxxf86vm-dev libwayland-dev libxkbcommon-dev libgles-dev libegl-dev"
run="iproute2 iputils-ping libgl1-mesa-dri"
test="nftables iptables iperf3 ethtool tcpdump xvfb xauth xdotool x11-utils imagemagick openbox wmctrl
  dbus dbus-x11 xclip ufw firewalld dnsutils dnsmasq-base procps util-linux miniupnpd-nftables
  curl xdg-utils desktop-file-utils"
docker="iproute2 iptables nftables procps util-linux libdevmapper1.02.1"
e2e="debootstrap systemd-container iproute2 procps util-linux"
wine="wine wine64 gcc-mingw-w64-x86-64-win32 xvfb xdotool x11-utils openbox wmctrl imagemagick procps
  libgl1 libgl1-mesa-dri libxcursor1 libxfixes3 libxi6 libxrandr2 libxrender1 libxcomposite1"

want="$build $run"
case "${1:-build}" in
test) want="$want $test" ;;
e2e) want="$e2e" ;;
wine) want="$wine" ;;
docker) want="$docker" ;;
esac

command -v apt-get >/dev/null || {
  echo "This is no Debian or Ubuntu: install by hand what stands for: $want" >&2
  exit 0
}
missing=""
for p in $want; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -z "$missing" ] && exit 0

sudo=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "Root has to install:$missing" >&2; exit 1; }
  sudo="sudo"
fi
echo "Installing:$missing"
# A test runs the program firewalld in a namespace of its own. Its service would be
# this machine's firewall from now on: it is masked unless someone had it already.
case " $missing " in
*" firewalld "*)
  unit=/etc/systemd/system/firewalld.service
  if [ ! -e "$unit" ] && [ ! -L "$unit" ]; then
    $sudo mkdir -p /etc/systemd/system
    $sudo ln -s /dev/null "$unit"
    echo "firewalld's service stays masked; systemctl unmask firewalld lets it run."
  fi
  ;;
esac
# shellcheck disable=SC2086
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 || {
  $sudo apt-get update -q
  # shellcheck disable=SC2086
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
}
