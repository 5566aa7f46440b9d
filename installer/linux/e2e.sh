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
machines=(alpha beta)
# shellcheck source=bed.sh
. "$here/bed.sh"

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
  echo 'HTTPS_PROXY=http://192.0.2.8:3128' >>"$root/etc/environment"
  chroot "$root" useradd -m anna
  install -m 0755 "$bin/kithd" "$bin/kith" "$root/usr/local/bin/"
}

has_proxy() { on "$1" grep -qz '^HTTPS_PROXY=http://192.0.2.8:3128$' "/proc/$(main_pid "$1")/environ"; }
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
    check "$m: kithd status says running" within 60 says running on "$m" kithd status
    check "$m: systemd has it active" within 60 on "$m" systemctl is-active kithd
    check "$m: systemd starts it at boot" on "$m" systemctl is-enabled kithd
    check "$m: the helper answers" within 60 on "$m" kith status
    check "$m: it knows the machine's proxy" has_proxy "$m"
  done
  check "the unit has no line that systemd does not know" on alpha systemd-analyze verify kithd.service
  check "its exposure is under 5" on alpha systemd-analyze security --no-pager --threshold=50 kithd.service
  check "a second kithd on the state directory is refused" exits 1 on alpha kithd run --socket /tmp/second.sock
}

joining() {
  check "alpha: kith create" on alpha kith create home --phrase-file /root/phrase
  on alpha kith invite >"$work/link" 2>/dev/null
  check "beta: kith join" on beta kith join - <"$work/link"
  check "beta pings alpha.home.internal" within 60 pings beta alpha.home.internal
  check "alpha pings beta by its short name" within 60 pings alpha beta
  check "the path is lan" within 60 says '"path": *"lan"' on alpha kith status --json
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
  check "after SIGKILL systemd starts it again" within 60 changed_pid alpha "$before"
  check "alpha pings beta again" within 60 pings alpha beta.home.internal
  check "beta pings alpha again" within 60 pings beta alpha
  check "kithd stop" on alpha kithd stop
  check "stopped: resolv.conf is as it was, byte for byte" same_resolv alpha
  check "stopped: no TUN" exits 1 on alpha ip link show kith0
  check "stopped: no socket" no_file alpha /run/kith/kithd.sock
  check "stopped: kith says that the helper is unreachable" exits 3 on alpha kith status
  check "kithd start" on alpha kithd start
  check "alpha pings beta once more" within 60 pings alpha beta
}

rebooting() {
  on beta systemctl reboot || true
  # Without a unit of its own systemd-nspawn ends where a machine would restart.
  for _ in $(seq 1800); do alive "${nspawn[beta]}" || break; sleep 0.1; done
  local code=0
  wait "${nspawn[beta]}" || code=$?
  check "beta goes down to restart" test "$code" -eq 133
  boot beta
  up beta
  check "after a reboot beta is in the network" within 60 says beta.home.internal on beta kith status
  check "beta pings alpha" within 60 pings beta alpha.home.internal
  check "alpha pings beta" within 60 pings alpha beta.home.internal
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
