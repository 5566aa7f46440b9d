#!/usr/bin/env bash
# The main job on one machine, "make demo": two hosts, each a network namespace,
# on one LAN without internet: create, invite, join, ping by name, and what each
# step took. All that it makes is gone at its end.
set -euo pipefail
bin=$(cd "$1" && pwd)
if [ "$(id -u)" -ne 0 ]; then
  echo "Network namespaces need root; sudo may ask for your password."
  exec sudo "$0" "$bin"
fi
tag=kithdemo$$
dir=$(mktemp -d /tmp/kith-demo.XXXXXX)
pids=()
cleanup() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
  for h in a b; do ip netns del "$tag$h" 2>/dev/null || true; rm -rf "/etc/netns/$tag$h"; done
  rm -rf "$dir"
}
trap cleanup EXIT

now() { date +%s%3N; }
step() { # step WORDS COMMAND...: runs it and says how long it took
  local words=$1 t0 t1
  shift
  t0=$(now)
  "$@"
  t1=$(now)
  printf '%6d ms  %s\n' $((t1 - t0)) "$words"
}
on() { local h=$1; shift; ip netns exec "$tag$h" "$@"; }
kith() { local h=$1; shift; on "$h" "$bin/kith" --socket "$dir/$h/kithd.sock" "$@"; }

echo "Two hosts on one LAN, no internet:"
for h in a b; do
  mkdir -p "/etc/netns/$tag$h" "$dir/$h"
  : >"/etc/netns/$tag$h/resolv.conf"
  ip netns add "$tag$h"
  on "$h" ip link set lo up
done
ip -n "${tag}a" link add lan0 type veth peer name lan0 netns "${tag}b"
i=1
for h in a b; do
  on "$h" ip addr add "192.168.77.$i/24" dev lan0
  on "$h" ip link set lan0 up
  i=$((i + 1))
done

start() {
  for h in a b; do
    # Not through on(): the function's own process would be in between.
    ip netns exec "$tag$h" "$bin/kithd" run --state-dir "$dir/$h/state" --socket "$dir/$h/kithd.sock" >"$dir/$h/log" 2>&1 &
    pids+=($!)
  done
  for h in a b; do
    for _ in $(seq 100); do kith "$h" status >/dev/null 2>&1 && break; sleep 0.05; done
    kith "$h" status >/dev/null || { cat "$dir/$h/log" >&2; exit 1; }
  done
}
step "both helpers started" start
step "a: kith create home" sh -c ': "$1"' _ "$(kith a create home --device laptop --phrase-file "$dir/phrase")"
t0=$(now); kith a invite >"$dir/link"; printf '%6d ms  a: kith invite\n' $(($(now) - t0))
step "b: kith join" kith b join --device nas - <"$dir/link"
step "b: ping laptop.home.internal" on b ping -c 1 -W 5 laptop.home.internal
step "a: ping nas (by its short name)" on a ping -c 1 -W 5 nas
echo
kith a peers
