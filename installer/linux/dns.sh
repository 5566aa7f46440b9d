#!/usr/bin/env bash
# The tier of resolver setups, part of "make e2e": a Debian machine for each, with
# the real programs, on a LAN with a DHCP and DNS server whose log is read. Each
# joins a network, resolves by name, and is disturbed and stopped.
# dns.sh BIN [SETUP...]
set -euo pipefail
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
shift
setups=(resolved resolved-list nm-resolved nm nm-dnsmasq openresolv resolvconf resolvconf-dnsmasq dnsmasq file)
[ $# -eq 0 ] || setups=("$@")
if [ "$(id -u)" -ne 0 ]; then
  echo "Booting machines needs root; sudo may ask for your password."
  exec sudo --preserve-env=XDG_CACHE_HOME,KITH_DEBIAN_MIRROR "$0" "$bin" "$@"
fi
"$here/deps.sh" e2e
machines=("${setups[@]}")
# shellcheck source=bed.sh
. "$here/bed.sh"
net=${tag}net hub= web=
declare -A number

# layers makes what the setups stand on.
layers() {
  tree
  layer dns "$base" dnsmasq-base bind9-dnsutils curl
  local s
  for s in "${setups[@]}"; do
    case $s in
    resolved | resolved-list) layer resolved "$base-dns:$base" systemd-resolved libnss-resolve ;;
    nm-resolved) layer nm-resolved "$base-dns:$base" systemd-resolved libnss-resolve network-manager libpam-systemd ;;
    nm | nm-dnsmasq) layer nm "$base-dns:$base" network-manager libpam-systemd ;;
    openresolv) layer openresolv "$base-dns:$base" openresolv ;;
    resolvconf) layer resolvconf "$base-dns:$base" resolvconf ;;
    resolvconf-dnsmasq) layer resolvconf-dnsmasq "$base-dns:$base" resolvconf dnsmasq ;;
    esac
  done
}

# world is the LAN, its router with DHCP and DNS, and a member that stays.
world() {
  ip netns add "$net"
  ip -n "$net" link set lo up
  ip -n "$net" addr add 192.0.2.53/32 dev lo
  ip -n "$net" link add br0 type bridge forward_delay 0
  ip -n "$net" addr add 192.168.79.1/24 dev br0
  ip -n "$net" link set br0 up
  mkdir -p "$work/net"
  : >"$work/net/log"
  mkdir -p "$work/net/root"
  mount -t overlay overlay -o "lowerdir=$base-dns:$base" "$work/net/root"
  mount --bind /dev "$work/net/root/dev"
  mount --bind "$work/net" "$work/net/root/mnt"
  ip netns exec "$net" chroot "$work/net/root" dnsmasq --keep-in-foreground --user=root --conf-file=/dev/null --no-resolv --no-hosts \
    --log-queries --log-facility=/mnt/log --pid-file= --dhcp-leasefile=/mnt/leases --bind-interfaces --interface=br0,lo \
    --listen-address=192.0.2.53,192.168.79.1 --dhcp-range=192.168.79.100,192.168.79.200,120 --dhcp-option=option:dns-server,192.0.2.53 \
    --dhcp-option=option:domain-search,corp.example --host-record=www.example.test,203.0.113.7 --host-record=intra.corp.example,203.0.113.8 \
    --local=/corp.example/ --local=/example.test/ --local=/internal/ --cache-size=0 >"$work/net/out" 2>&1 &
  upstream=$!
  ip netns exec "$net" "$bin/kithd" run --state-dir "$work/hub" --socket "$work/hub.sock" --dns off >"$work/hub.log" 2>&1 &
  hub=$!
  ip netns exec "$net" perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(LocalPort => 80, Listen => 9, ReuseAddr => 1) or die $!;
    while (my $c = $s->accept) { sysread $c, my $b, 4096; print $c "HTTP/1.0 200 OK\r\n\r\nfrom the hub\n"; close $c }' &
  web=$!
  within 60 kith_hub status >/dev/null || { cat "$work/hub.log"; exit 1; }
  kith_hub create home --device hub --phrase-file "$work/phrase" >"$work/create.log" 2>&1 || { cat "$work/create.log"; exit 1; }
}
kith_hub() { ip netns exec "$net" env KITH_SOCKET="$work/hub.sock" "$bin/kith" "$@"; }

# shellcheck disable=SC2317
end() {
  local p
  for p in "$hub" "$web" "${upstream:-}"; do [ -n "$p" ] && kill "$p" 2>/dev/null && wait "$p" 2>/dev/null; done
  for m in net/root/mnt net/root/dev net/root; do mountpoint -q "$work/$m" && umount -l "$work/$m"; done
  ip netns del "$net" 2>/dev/null
  cleanup
}
trap 'end || true' EXIT

# disk makes a setup's file system.
disk() {
  local m=$1 dirs=$work/layers/$1 root=$work/$1/root lower=$base-dns:$base
  case $m in
  nm-dnsmasq) lower=$base-nm:$lower ;;
  resolved-list) lower=$base-resolved:$lower ;;
  dnsmasq | file) ;;
  *) lower=$base-$m:$lower ;;
  esac
  mkdir -p "$dirs"/{upper,work} "$root"
  mount -t overlay overlay -o "lowerdir=$lower,upperdir=$dirs/upper,workdir=$dirs/work" "$root"
  echo "$m" >"$root/etc/hostname"
  printf '127.0.0.1 localhost %s\n::1 localhost\n' "$m" >"$root/etc/hosts"
  rm -f "$root/etc/machine-id" && : >"$root/etc/machine-id"
  rm -f "$root/etc/resolv.conf"
  install -m 0755 "$bin/kithd" "$bin/kith" "$root/usr/local/bin/"
  case $m in
  resolved*)
    case $m in
    resolved) ln -s ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf" ;;
    *) ln -s ../run/systemd/resolve/resolv.conf "$root/etc/resolv.conf" ;; # its list of servers
    esac
    printf '[Match]\nName=lan0\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n[DHCPv4]\nUseDomains=yes\n' >"$root/etc/systemd/network/10-lan.network"
    ln -sf /lib/systemd/system/systemd-networkd.service "$root/etc/systemd/system/multi-user.target.wants/systemd-networkd.service"
    ;;
  nm-resolved) ln -s ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf" ;;
  nm-dnsmasq) printf '[main]\ndns=dnsmasq\n' >"$root/etc/NetworkManager/conf.d/dns.conf" ;;
  resolvconf | resolvconf-dnsmasq) ln -s ../run/resolvconf/resolv.conf "$root/etc/resolv.conf" ;;
  dnsmasq)
    printf 'nameserver 192.0.2.53\n' >"$root/etc/upstream.conf"
    printf '# the local dnsmasq\nnameserver 127.0.0.1\nsearch corp.example\n' >"$root/etc/resolv.conf"
    printf '[Service]\nExecStart=/usr/sbin/dnsmasq -k --conf-file=/dev/null --user=root --resolv-file=/etc/upstream.conf --listen-address=127.0.0.1 --bind-interfaces --pid-file=\n[Install]\nWantedBy=multi-user.target\n' >"$root/etc/systemd/system/dnsmasq.service"
    ln -sf /etc/systemd/system/dnsmasq.service "$root/etc/systemd/system/multi-user.target.wants/dnsmasq.service"
    ;;
  file) printf '# the operator'"'"'s own\nnameserver 192.0.2.53\nsearch corp.example\n' >"$root/etc/resolv.conf" ;;
  esac
  case $m in
  nm*)
    printf '[connection]\nid=lan\ntype=ethernet\ninterface-name=lan0\n[ipv4]\nmethod=auto\n[ipv6]\nmethod=disabled\n' >"$root/etc/NetworkManager/system-connections/lan.nmconnection"
    chmod 600 "$root/etc/NetworkManager/system-connections/lan.nmconnection"
    rm -f "$root/usr/lib/NetworkManager/conf.d/10-globally-managed-devices.conf"
    ;;
  resolved*) ;;
  *) ln -sf /dev/null "$root/etc/systemd/system/systemd-networkd.service" ;;
  esac
}

cable() {
  local m=$1 n=$2
  ip netns add "$tag$m"
  ip -n "$tag$m" link set lo up
  ip -n "$net" link add "v$n" type veth peer name lan0 netns "$tag$m"
  ip -n "$net" link set "v$n" master br0 up
  ip -n "$tag$m" link set lan0 up
  case $m in resolved* | nm*) return ;; esac
  ip -n "$tag$m" addr add "192.168.79.$((n + 10))/24" dev lan0
  ip -n "$tag$m" route add default via 192.168.79.1
}

# lease is what a DHCP client tells resolvconf.
lease() { on "$1" sh -c "printf 'nameserver 192.0.2.53\nsearch corp.example\n' | resolvconf -a lan0.dhcp"; }

finds() { # finds MACHINE NAME ADDRESS
  local out
  out=$(on "$1" getent hosts "$2") || { echo "$2 is not found"; return 1; }
  grep -q "^$3 " <<<"$out" || { echo "$2 is $out"; return 1; }
}
digs() { says "^$3\$" on "$1" dig +short +time=2 +tries=1 "$2"; }
public() { says '^203\.0\.113\.7 ' on "$1" getent hosts www.example.test; }
hub_name() { on "$1" getent ahostsv4 hub.home.internal | awk '{print $1; exit}'; }

# names holds whatever has happened.
names() {
  local m=$1 when=$2 a
  check "$m$when: a member by full name" within 60 says "$hub6\|$hub4" on "$m" getent hosts hub.home.internal
  check "$m$when: by full name over IPv4" within 60 says "^$hub4 " on "$m" getent ahostsv4 hub.home.internal
  check "$m$when: by short name" within 60 says "^$hub4 " on "$m" getent ahostsv4 hub
  check "$m$when: the name of an address" within 60 says hub.home.internal on "$m" getent hosts "$hub4"
  check "$m$when: dig" within 60 digs "$m" hub.home.internal "$hub4"
  check "$m$when: ping" within 60 on "$m" ping -q -c 1 -W 5 hub.home.internal
  check "$m$when: curl" within 60 says '^from the hub$' on "$m" curl -s --max-time 10 http://hub.home.internal/
  check "$m$when: the public rest" within 60 public "$m"
  check "$m$when: the LAN's own search domain" within 60 says '^203\.0\.113\.8 ' on "$m" getent ahostsv4 intra
}

mode_of() {
  case $1 in
  resolved | nm-resolved) echo systemd-resolved ;;
  nm | nm-dnsmasq) echo NetworkManager ;;
  openresolv | resolvconf) echo "$1" ;;
  *) echo plain ;;
  esac
}
restart_of() {
  case $1 in
  resolved* | nm-resolved) echo "systemctl restart systemd-resolved" ;;
  nm | nm-dnsmasq) echo "systemctl restart NetworkManager" ;;
  dnsmasq | resolvconf-dnsmasq) echo "systemctl restart dnsmasq" ;;
  openresolv | resolvconf) echo "resolvconf -u" ;;
  *) echo true ;;
  esac
}
renew() {
  case $1 in
  resolved*) on "$1" networkctl renew lan0 ;;
  nm*) on "$1" nmcli -w 20 connection up lan ;;
  openresolv | resolvconf*) lease "$1" ;;
  *) on "$1" sh -c 'cp /etc/resolv.conf /etc/r && mv /etc/r /etc/resolv.conf' ;;
  esac
}
tidy() { # nothing names the network any more
  local out
  out=$(on "$1" grep -rsE "home\.internal|tun\.kith" /etc/resolv.conf /run/resolvconf /run/NetworkManager /run/systemd/resolve /run/dnsmasq || true)
  [ -z "$out" ] || { echo "$out"; return 1; }
}
main_pid() { on "$1" systemctl show -P MainPID kithd; }
changed_pid() { local now; now=$(main_pid "$1"); [ "$now" != 0 ] && [ "$now" != "$2" ]; }
resolv() { on "$1" sh -c 'readlink /etc/resolv.conf; cat /etc/resolv.conf'; }
same_resolv() { diff "$work/$1/resolv.conf" <(resolv "$1"); }

# reboots has kithd start beside the others, as at any boot.
reboots() {
  local m=$1
  on "$m" systemctl reboot || true
  for _ in $(seq 1800); do alive "${nspawn[$m]}" || break; sleep 0.1; done
  wait "${nspawn[$m]}" || true # systemd-nspawn ends where a machine would restart
  boot "$m"
  up "$m"
  case $m in resolvconf) lease "$m" ;; esac
  names "$m" ", rebooted"
}

setup() {
  local m=$1 before n=${number[$1]}
  mkdir -p "$work/$m"
  cable "$m" "$n"
  disk "$m"
  boot "$m"
  up "$m"
  case $m in openresolv | resolvconf*) lease "$m" ;; esac
  check "$m: public names before" within 60 public "$m"
  resolv "$m" >"$work/$m/resolv.conf"
  on "$m" kithd install >/dev/null && on "$m" kithd start >/dev/null
  within 60 on "$m" kith status >/dev/null || true
  kith_hub invite 2>/dev/null >"$work/$m/link"
  check "$m: kith join" within 60 joined "$m"
  check "$m: $(mode_of "$m") rules" within 60 says "$(mode_of "$m"):" on "$m" kith diag
  check "$m: a member is found" within 60 says "^$hub4 " on "$m" getent ahostsv4 hub.home.internal
  mark=$(wc -l <"$work/net/log")
  names "$m" ""
  check "$m: no member's name went upstream" lacks 'query.*home\.internal' sent
  # shellcheck disable=SC2046
  check "$m: its resolver restarts" on "$m" $(restart_of "$m")
  names "$m" ", its resolver restarted"
  on "$m" ip link set lan0 down && sleep 0.3 && on "$m" ip link set lan0 up
  case $m in resolved* | nm*) ;; *) on "$m" ip route replace default via 192.168.79.1 ;; esac
  check "$m, link down and up: public names" within 60 public "$m"
  names "$m" ", link down and up"
  renew "$m" >/dev/null || true
  names "$m" ", lease renewed"
  # Not later: without a network its names are anybody's. NetworkManager's own
  # dnsmasq starts without ours.
  case $m in nm | nm-dnsmasq) ;; *) check "$m: still no member's name went upstream" lacks 'query.*home\.internal' sent ;; esac
  before=$(main_pid "$m")
  on "$m" systemctl kill -s KILL kithd
  check "$m, kithd killed: systemd starts it again" within 60 changed_pid "$m" "$before"
  names "$m" ", kithd killed"
  case $m in resolved | nm | resolvconf) reboots "$m" ;; esac
  check "$m: kithd stop" on "$m" kithd stop
  check "$m, stopped: public names" within 60 public "$m"
  check "$m, stopped: no member is found" exits 2 on "$m" getent hosts hub.home.internal
  check "$m, stopped: resolv.conf is as it was" within 60 same_resolv "$m"
  check "$m, stopped: nothing is left in the state directory" lacks resolv on "$m" ls -A /var/lib/kith
  check "$m, stopped: nothing is left in /run and /etc" tidy "$m"
  if [ "$failed" -ne 0 ]; then on "$m" journalctl -u kithd -o cat --no-pager 2>/dev/null | tail -40; fi
  kill -s RTMIN+4 "${leader[$m]}" 2>/dev/null || true
}
joined() { on "$1" kith join - <"$work/$1/link" || says home on "$1" kith status; }
# sent is what the upstream was asked while kithd ran.
sent() { sed "1,${mark}d" "$work/net/log"; }

layers
mkdir -p "$work/layers"
mount -t tmpfs -o size=1g tmpfs "$work/layers"
world
hub4=$(kith_hub status --json | grep -o '"100\.[0-9.]*"' | head -1 | tr -d '"')
hub6=$(kith_hub status --json | grep -o '"fd[0-9a-f:]*"' | head -1 | tr -d '"')
n=0
for s in "${setups[@]}"; do
  n=$((n + 1))
  number[$s]=$n
  setup "$s"
done
say "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
