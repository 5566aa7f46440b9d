#!/usr/bin/env bash
# The tier of booted systems, "make e2e": two Debian machines with systemd, each
# in systemd-nspawn, on one LAN without internet. kithd is installed as a
# service, hardened unit and all, joins, is killed, rebooted and uninstalled.
# Each check prints a line; the last line counts them.
set -euo pipefail
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" -ne 0 ]; then
  echo "Booting machines needs root; sudo may ask for your password."
  exec sudo --preserve-env=XDG_CACHE_HOME,KITH_DEBIAN_MIRROR "$0" "$bin"
fi
"$here/deps.sh" e2e
packages=systemd,systemd-sysv,dbus,iproute2,iputils-ping,procps,nftables
base=${XDG_CACHE_HOME:-$HOME/.cache}/kith/debian-bookworm
tag=kithe2e$$
work=$(mktemp -d /tmp/kith-e2e.XXXXXX)
groups=(/sys/fs/cgroup /sys/fs/cgroup/{systemd,unified,pids})
machines=(alpha beta)
declare -A nspawn leader
passed=0 failed=0

say() { printf '%s\n' "$*"; }
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
  mountpoint -q "$work/layers" && umount -l "$work/layers"
  rm -rf "$work"
}
trap 'cleanup || true' EXIT

# disk makes a machine's file system: a layer of its own over the tree.
disk() {
  local m=$1 layers=$work/layers/$1 root=$work/$1/root
  mkdir -p "$layers"/{upper,work} "$root"
  mount -t overlay overlay -o "lowerdir=$base,upperdir=$layers/upper,workdir=$layers/work" "$root"
  echo "$m" >"$root/etc/hostname"
  printf '127.0.0.1 localhost %s\n::1 localhost\n' "$m" >"$root/etc/hosts"
  printf '# the operator'"'"'s own\nnameserver 192.0.2.53\noptions timeout:1 attempts:1\n' >"$root/etc/resolv.conf"
  rm -f "$root/etc/machine-id" && : >"$root/etc/machine-id"
  ln -sf /dev/null "$root/etc/systemd/system/systemd-networkd.service"
  chroot "$root" useradd -m anna
  install -m 0755 "$bin/kithd" "$bin/kith" "$root/usr/local/bin/"
}

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
  for _ in $(seq 600); do
    alive "${nspawn[$m]}" || { say "$m did not start:"; cat "$work/$m/console"; exit 1; }
    p=$(pgrep -P "${nspawn[$m]}" -x systemd | head -1 || true)
    if [ -n "$p" ]; then
      leader[$m]=$p
      case $(on "$m" systemctl is-system-running 2>/dev/null) in running | degraded) return ;; esac
    fi
    sleep 0.1
  done
  say "$m is not running after a minute:"
  cat "$work/$m/console"
  exit 1
}

on() { # on MACHINE COMMAND...: as its root
  local m=$1
  shift
  timeout -k 5 60 nsenter -t "${leader[$m]}" -a env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}
as_anna() { local m=$1; shift; on "$m" setpriv --reuid=anna --regid=anna --init-groups "$@"; }

check() { # check WORDS COMMAND...: passes if the command does
  local words=$1 out
  shift
  if out=$("$@" 2>&1); then
    passed=$((passed + 1))
    say "ok      $words"
  else
    failed=$((failed + 1))
    say "FAILED  $words"
    printf '%s\n' "$out" | sed 's/^/        /'
  fi
}
exits() { # exits CODE COMMAND...
  local want=$1 got=0
  shift
  "$@" || got=$?
  [ "$got" -eq "$want" ] || { echo "exit code $got, not $want"; return 1; }
}
within() { # within SECONDS COMMAND...: tries until it passes
  local end=$(($(date +%s%N) + $1 * 1000000000)) out
  shift
  while ! out=$("$@" 2>&1); do
    [ "$(date +%s%N)" -lt "$end" ] || { printf '%s\n' "$out"; return 1; }
    sleep 0.05
  done
}
lacks() { local words=$1 out; shift; out=$("$@") || return; ! grep -- "$words" <<<"$out"; }
says() { local words=$1 out; shift; out=$("$@") || return; grep -q -- "$words" <<<"$out" || { echo "$out"; return 1; }; }
pings() { on "$1" ping -n -c 1 -W 2 "$2"; }
main_pid() { on "$1" systemctl show -P MainPID kithd; }
no_file() { ! on "$1" test -e "$2"; }
same_resolv() { cmp "$work/$1/resolv.conf" <(on "$1" cat /etc/resolv.conf); }

lan() {
  local i=1 m
  for m in "${machines[@]}"; do
    ip netns add "$tag$m"
    ip -n "$tag$m" link set lo up
  done
  ip -n "${tag}alpha" link add lan0 type veth peer name lan0 netns "${tag}beta"
  for m in "${machines[@]}"; do
    ip -n "$tag$m" addr add "192.168.78.$i/24" dev lan0
    ip -n "$tag$m" link set lan0 up
    i=$((i + 1))
  done
}

installing() {
  local m
  for m in "${machines[@]}"; do
    on "$m" cat /etc/resolv.conf >"$work/$m/resolv.conf"
    check "$m: kithd status says that it is not installed" says "not installed" on "$m" kithd status
    check "$m: kithd install" on "$m" kithd install
    check "$m: kithd start" on "$m" kithd start
    check "$m: kithd status says running" within 5 says running on "$m" kithd status
    check "$m: systemd has it active" within 5 on "$m" systemctl is-active kithd
    check "$m: systemd starts it at boot" on "$m" systemctl is-enabled kithd
    check "$m: the helper answers" within 5 on "$m" kith status
  done
  check "the unit has no line that systemd does not know" on alpha systemd-analyze verify kithd.service
  check "its exposure is under 5" on alpha systemd-analyze security --no-pager --threshold=50 kithd.service
  check "a second kithd on the state directory is refused" exits 1 on alpha kithd run --socket /tmp/second.sock
}

joining() {
  check "alpha: kith create" on alpha kith create home --phrase-file /root/phrase
  on alpha kith invite >"$work/link" 2>/dev/null
  check "beta: kith join" on beta kith join - <"$work/link"
  check "beta pings alpha.home.internal" within 5 pings beta alpha.home.internal
  check "alpha pings beta by its short name" within 5 pings alpha beta
  check "the path is lan" within 5 says '"path": *"lan"' on alpha kith status --json
  check "the log shows no warning" lacks level=WARN on alpha journalctl -u kithd -o cat
}

rights() {
  check "anna, no operator: kith status" as_anna alpha kith status
  check "anna: kith invite is not permitted" exits 4 as_anna alpha kith invite
  check "anna: kith down is not permitted" exits 4 as_anna alpha kith down
  check "anna: no endpoint is shown to her" lacks 192.168.78 as_anna alpha kith status --json
  check "anna: may not name operators" exits 4 as_anna alpha kith operator add anna
  check "root: kith operator add anna" on alpha kith operator add anna
  check "anna, an operator: kith invite" as_anna alpha kith invite
  check "anna: still may not name operators" exits 4 as_anna alpha kith operator add root
  check "root: kith operator remove anna" on alpha kith operator remove anna
  check "anna: kith invite is not permitted any more" exits 4 as_anna alpha kith invite
  check "anna: cannot look into the state" exits 2 as_anna alpha ls /var/lib/kith
}

changed_pid() { local now; now=$(main_pid "$1"); [ "$now" != 0 ] && [ "$now" != "$2" ]; }

killing() {
  local before
  before=$(main_pid alpha)
  on alpha systemctl kill -s KILL kithd
  check "after SIGKILL systemd starts it again" within 5 changed_pid alpha "$before"
  check "alpha pings beta again" within 5 pings alpha beta.home.internal
  check "beta pings alpha again" within 5 pings beta alpha
  check "kithd stop" on alpha kithd stop
  check "stopped: resolv.conf is as it was, byte for byte" same_resolv alpha
  check "stopped: no TUN" exits 1 on alpha ip link show kith0
  check "stopped: no socket" no_file alpha /run/kith/kithd.sock
  check "stopped: kith says that the helper is unreachable" exits 3 on alpha kith status
  check "kithd start" on alpha kithd start
  check "alpha pings beta once more" within 10 pings alpha beta
}

rebooting() {
  on beta systemctl reboot || true
  # Without a unit of its own systemd-nspawn ends where a machine would restart.
  for _ in $(seq 300); do alive "${nspawn[beta]}" || break; sleep 0.1; done
  local code=0
  wait "${nspawn[beta]}" || code=$?
  check "beta goes down to restart" test "$code" -eq 133
  boot beta
  up beta
  check "after a reboot beta is in the network" within 10 says beta.home.internal on beta kith status
  check "beta pings alpha" within 10 pings beta alpha.home.internal
  check "alpha pings beta" within 10 pings alpha beta.home.internal
  check "no unit failed" lacks . on beta systemctl list-units --failed --no-legend
}

removing() {
  check "kithd uninstall" on beta kithd uninstall
  check "no unit" exits 1 on beta sh -c 'systemctl cat kithd 2>/dev/null'
  check "no file of it below /etc" lacks . on beta find /etc -iname '*kith*'
  check "no process" exits 1 on beta pgrep -x kithd
  check "no TUN" lacks kith on beta ip -o link
  check "no route or rule" lacks kith on beta sh -c 'ip -4 route show table all; ip -6 route show table all; ip rule; ip -6 rule'
  check "no nftables table" lacks kith on beta nft list tables
  check "nothing in /run" lacks . on beta find /run -iname '*kith*' -not -path '/run/systemd/*' -not -path '/run/host*' -not -path '/run/log/*'
  check "resolv.conf is as it was, byte for byte" same_resolv beta
  check "kithd status says that it is not installed" says "not installed" on beta kithd status
  check "the state stays" on beta test -s /var/lib/kith/state.db
  check "alpha, after a crash and an uninstall:" on alpha sh -c 'systemctl kill -s KILL kithd; kithd uninstall'
  check "alpha: resolv.conf is as it was" same_resolv alpha
  check "alpha: no TUN" lacks kith on alpha ip -o link
}

tree
mkdir -p "$work/layers"
mount -t tmpfs -o size=1g tmpfs "$work/layers"
lan
for m in "${machines[@]}"; do mkdir -p "$work/$m"; disk "$m"; boot "$m"; done
for m in "${machines[@]}"; do up "$m"; done
installing
joining
rights
killing
rebooting
removing
if [ "$failed" -ne 0 ]; then
  for m in "${machines[@]}"; do
    say "--- kithd's log on $m"
    on "$m" journalctl -u kithd -o cat --no-pager 2>/dev/null | tail -60 || true
  done
fi
say "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
