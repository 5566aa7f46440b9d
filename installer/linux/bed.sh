#!/usr/bin/env bash
# What the tiers of booted systems share: a Debian tree that is made once, layers
# over it, machines in systemd-nspawn. It is sourced, with $bin and $machines set.
# shellcheck disable=SC2034,SC2154
packages=systemd,systemd-sysv,dbus,iproute2,iputils-ping,procps,nftables
base=${XDG_CACHE_HOME:-$HOME/.cache}/kith/debian-bookworm
tag=kithe2e$$
work=$(mktemp -d /tmp/kith-e2e.XXXXXX)
groups=(/sys/fs/cgroup /sys/fs/cgroup/{systemd,unified,pids})
declare -A nspawn leader
# shellcheck source=../checks.sh
. "$(dirname "${BASH_SOURCE[0]}")/../checks.sh"

alive() { kill -0 "$1" 2>/dev/null; }

# tree makes the machine's file system once and keeps it.
tree() {
  [ "$(cat "$base.packages" 2>/dev/null)" = "$packages" ] && return
  say "Making a minimal Debian in $base (a minute or two)"
  mkdir -p "$(dirname "$base")"
  rm -rf "$base" "$base.new"
  debootstrap --variant=minbase --include="$packages" bookworm "$base.new" \
    "${KITH_DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 ||
    { tail -20 "$work/debootstrap.log" >&2; exit 1; }
  rm -rf "$base.new"/var/cache/apt/archives/*.deb "$base.new"/var/lib/apt/lists/*
  mv "$base.new" "$base"
  printf %s "$packages" >"$base.packages"
}

# layer NAME BELOW PACKAGE... installs packages over the directories BELOW, once,
# and keeps what that added.
layer() {
  local name=$1 below=$2 dir=$base-$1 root=$work/layer want
  shift 2
  want="$packages $below $*"
  [ "$(cat "$dir.packages" 2>/dev/null)" = "$want" ] && return
  say "Installing $*"
  rm -rf "$dir" "$dir.work" "$dir.packages"
  mkdir -p "$dir" "$dir.work" "$root"
  mount -t overlay overlay -o "lowerdir=$below,upperdir=$dir,workdir=$dir.work" "$root"
  mount -t proc proc "$root/proc"
  mount --bind /dev "$root/dev"
  rm -f "$root/etc/resolv.conf"
  cp /etc/resolv.conf "$root/etc/resolv.conf"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service starts
  chmod +x "$root/usr/sbin/policy-rc.d"
  local code=0
  chroot "$root" sh -c 'ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 || apt-get update -q
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" && apt-get clean' - "$@" >"$work/$name.log" 2>&1 || code=$?
  rm -f "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf"
  umount "$root/dev" "$root/proc" "$root"
  rm -rf "$dir.work"
  [ "$code" -eq 0 ] || { tail -20 "$work/$name.log" >&2; exit 1; }
  printf %s "$want" >"$dir.packages"
}

# shellcheck disable=SC2317
cleanup() {
  local m p
  for m in "${machines[@]}"; do
    p=${nspawn[$m]:-}
    [ -n "$p" ] && alive "$p" && [ -n "${leader[$m]:-}" ] && kill -s RTMIN+4 "${leader[$m]}" 2>/dev/null
  done
  for m in "${machines[@]}"; do
    p=${nspawn[$m]:-}
    [ -n "$p" ] || continue
    for _ in $(seq 100); do alive "$p" || break; sleep 0.1; done
    kill -KILL "$p" 2>/dev/null || true
    wait "$p" 2>/dev/null || true
  done
  for m in "${machines[@]}"; do
    ip netns del "$tag$m" 2>/dev/null || true
    mountpoint -q "$work/$m/root" && umount -l "$work/$m/root"
    for g in "${groups[@]}"; do
      [ -d "$g/$tag$m" ] && find "$g/$tag$m" -depth -type d -exec rmdir {} \; 2>/dev/null
    done
  done
  for m in layer/dev layer/proc layer; do mountpoint -q "$work/$m" && umount -l "$work/$m"; done
  mountpoint -q "$work/layers" && umount -l "$work/layers"
  rm -rf "$work"
}
trap 'cleanup || true' EXIT

# boot starts a machine; it is up when systemd says so.
boot() {
  local m=$1 root=$work/$1/root g
  (
    # A cgroup of its own: two machines cannot share one.
    for g in "${groups[@]}"; do
      [ -e "$g/cgroup.procs" ] || continue
      mkdir -p "$g/$tag$m" && echo "$BASHPID" >"$g/$tag$m/cgroup.procs" || true
    done
    exec systemd-nspawn -q -D "$root" -b --network-namespace-path="/run/netns/$tag$m" --capability=CAP_NET_ADMIN \
      --register=no --keep-unit --machine="$tag$m" --bind=/dev/net/tun --resolv-conf=off --console=passive
  ) >"$work/$m/console" 2>&1 </dev/null &
  nspawn[$m]=$!
}

# up waits until the machine runs.
up() {
  local m=$1 p
  for _ in $(seq 1800); do
    alive "${nspawn[$m]}" || { say "$m did not start:"; cat "$work/$m/console"; exit 1; }
    p=$(pgrep -P "${nspawn[$m]}" -x systemd | head -1 || true)
    if [ -n "$p" ]; then
      leader[$m]=$p
      case $(on "$m" systemctl is-system-running 2>/dev/null) in running | degraded) return ;; esac
    fi
    sleep 0.1
  done
  say "$m is not running after three minutes:"
  cat "$work/$m/console"
  exit 1
}

on() { # on MACHINE COMMAND...: as its root
  local m=$1
  shift
  timeout -k 5 60 nsenter -t "${leader[$m]}" -a env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}
as_anna() { local m=$1; shift; on "$m" setpriv --reuid=anna --regid=anna --init-groups "$@"; }

pings() { on "$1" ping -n -c 1 -W 2 "$2"; }
