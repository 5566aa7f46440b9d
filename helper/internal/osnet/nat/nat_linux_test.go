package nat

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/netnstest"
)

// hostState is all of a host that this package may touch.
const hostState = `set +e; nft list ruleset 2>/dev/null | sed -E 's/packets [0-9]+ bytes [0-9]+//'; (iptables-nft-save; ip6tables-nft-save) 2>/dev/null | grep -v '^#' | sed -E 's/.[0-9]+:[0-9]+.$//'; ip route; ip -6 route
	sysctl -a 2>/dev/null | grep -e 'ip_forward ' -e '^net.ipv[46].conf' | grep -e forward -e accept_ -e filter -e redirects`

func (w *world) same(before, when string) {
	w.t.Helper()
	if d := cmp.Diff(strings.Split(before, "\n"), strings.Split(w.sh(w.exit, hostState), "\n")); d != "" {
		w.t.Errorf("%s: the host is not as before (-before +after):\n%s", when, d)
	}
}

var (
	nowhere  = map[string]bool{public4: false, public6: false, lan4: false, lan6: false}
	internet = map[string]bool{public4: true, public6: true, lan4: false, lan6: false}
)

func TestNetnsExit(t *testing.T) {
	w := newWorld(t)
	before := w.sh(w.exit, hostState)
	h := start(t, w.exit)
	w.reach(w.member, nowhere)

	o := w.offer()
	o.Exit = true
	h.set(Config{Offers: []Offer{o}})
	h.set(Config{Offers: []Offer{o}})
	w.reach(w.member, internet)
	w.reach(w.lan, map[string]bool{member4: false, member6: false, public4: false, public6: false})
	w.sh(w.member, "ip addr add 10.9.9.9/32 dev kith0; ping -c1 -W1 -I 10.9.9.9 "+public4+" && exit 1 || true")

	o.ExitLAN = true
	h.set(Config{Offers: []Offer{o}})
	w.reach(w.member, map[string]bool{public4: true, public6: true, lan4: true, lan6: true})

	h.set(Config{})
	w.reach(w.member, nowhere)
	w.same(before, "no offer any more")
}

func TestNetnsRoutes(t *testing.T) {
	w := newWorld(t)
	before := w.sh(w.exit, hostState)
	h := start(t, w.exit)
	o := w.offer()
	for _, p := range prefixes("192.168.7.0/24", "2001:db8:7::/64") {
		o.Routes = append(o.Routes, Route{Prefix: p, SNAT: true})
	}
	subnet := map[string]bool{public4: false, public6: false, lan4: true, lan6: true}
	h.set(Config{Offers: []Offer{o}})
	w.reach(w.member, subnet)
	w.reach(w.lan, map[string]bool{member4: false, member6: false})

	for i := range o.Routes {
		o.Routes[i].SNAT = false
	}
	h.set(Config{Offers: []Offer{o}})
	w.reach(w.member, subnet)
	w.reach(w.lan, map[string]bool{member4: true, member6: true})
	w.sh(w.lan, "ip route del default; ip -6 route del default") // they see overlay addresses
	w.reach(w.member, nowhere)

	for i := range o.Routes {
		o.Routes[i].SNAT = true
	}
	o.Exit = true
	h.set(Config{Offers: []Offer{o}})
	w.reach(w.member, map[string]bool{public4: true, public6: true, lan4: true, lan6: true})
	h.set(Config{})
	w.same(before, "no offer any more")
}

// TestNetnsFirewalls has other programs' firewalls drop what they do not know.
func TestNetnsFirewalls(t *testing.T) {
	for name, set := range map[string]string{
		"iptables' policy": `iptables-nft -P FORWARD DROP; ip6tables-nft -P FORWARD DROP; iptables-nft -A FORWARD -s 10.66.0.0/16 -j ACCEPT`,
		"a reject at the end": `nft -f - <<'X'
table inet firewalld {
	chain filter_FORWARD { type filter hook forward priority filter + 10; policy accept;
		ct state { established, related } accept
		ct status dnat accept
		iifname "lo" accept
		jump zones
		ct state invalid drop
		reject with icmpx type admin-prohibited
	}
	chain zones { goto public; }
	chain public { reject with icmpx type admin-prohibited; }
	chain mangle_PREROUTING { type filter hook prerouting priority mangle + 10; policy accept;
		meta nfproto ipv6 fib saddr . mark . iif oif missing drop
	}
}
X`,
		"Docker": netnstest.DockerRules + `
sysctl -qw net.ipv4.ip_forward=1`,
		"strict rp_filter": `for i in all default kith0 wan home; do sysctl -qw net.ipv4.conf.$i.rp_filter=1; done`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.sh(w.exit, set)
			before := w.sh(w.exit, hostState)
			h := start(t, w.exit)
			o := w.offer()
			o.Exit = true
			c := Config{Offers: []Offer{o}}
			h.set(c)
			w.reach(w.member, internet)
			w.talk()
			if p := h.ask("problems"); p != "[]" {
				t.Errorf("problems: %s", p)
			}
			h.set(Config{})
			w.same(before, "no offer any more")
		})
	}
}

// TestNetnsNames: where usernat passes on, a firewall that drops what comes in
// lets questions for names pass, and nothing else changes.
func TestNetnsNames(t *testing.T) {
	w := newWorld(t)
	w.sh(w.exit, `for i in iptables-nft ip6tables-nft; do $i -P INPUT DROP; $i -P FORWARD DROP; done`)
	before := w.sh(w.exit, hostState)
	h := start(t, w.exit)
	o := w.offer()
	o.Exit = true
	names := Config{Offers: []Offer{o}, Names: true}
	for _, c := range []Config{names, {Offers: []Offer{o}}, names, names} { // the kernel could, for a while
		h.set(c)
	}
	for _, table := range []string{"ip filter", "ip6 filter"} {
		in := w.sh(w.exit, "nft list chain "+table+" INPUT")
		for _, want := range []string{`iifname "kith0" tcp dport 53`, `iifname "kith0" udp dport 53`} {
			if !strings.Contains(in, want) {
				t.Errorf("%s has no %q:\n%s", table, want, in)
			}
		}
		if out := w.sh(w.exit, "nft list chain "+table+" FORWARD"); strings.Contains(out, "kith") {
			t.Errorf("something passes: %s", out)
		}
	}
	if all := w.sh(w.exit, "nft list tables; sysctl net.ipv4.ip_forward"); strings.Contains(all, "kith") || !strings.Contains(all, "forward = 0") {
		t.Errorf("more is set: %s", all)
	}
	w.reach(w.member, nowhere)
	h.set(Config{})
	w.same(before, "no offer any more")
}

// offering is a helper on the exit node that offers it.
func offering(t *testing.T, w *world) *helper {
	t.Helper()
	h := start(t, w.exit)
	o := w.offer()
	o.Exit = true
	h.set(Config{Offers: []Offer{o}})
	return h
}

// TestNetnsReloaded has other programs undo what was set.
func TestNetnsReloaded(t *testing.T) {
	w := newWorld(t)
	w.sh(w.exit, "iptables-nft -P FORWARD DROP")
	h := offering(t, w)
	for _, harm := range []string{
		"sysctl -qw net.ipv4.ip_forward=1; sysctl -qw net.ipv4.ip_forward=0",
		"sysctl -qw net.ipv6.conf.all.forwarding=0",
		"nft flush ruleset",
		"iptables-nft -P FORWARD DROP; iptables-nft -F",
		"ip link set wan down; ip link set wan up; ip -6 addr add 2001:db8:1::2/64 dev wan nodad || true; sleep 0.3; ip route replace default via 203.0.113.1; ip -6 route replace default via 2001:db8:1::1",
	} {
		w.sh(w.exit, harm+"; sleep 0.4")
		w.reach(w.member, internet)
		if t.Failed() {
			t.Fatalf("not healed: %s\n%s\n%s", harm, w.sh(w.exit, hostState), h.ask("problems"))
		}
	}
}

// TestNetnsRouterAdvertisements keeps the default route that a router advertises.
func TestNetnsRouterAdvertisements(t *testing.T) {
	w := newWorld(t)
	w.sh(w.exit, "sysctl -qw net.ipv6.conf.wan.accept_ra=1")
	h := offering(t, w)
	if got := strings.TrimSpace(w.sh(w.exit, "cat /proc/sys/net/ipv6/conf/wan/accept_ra")); got != "2" {
		t.Errorf("accept_ra is %s", got)
	}
	h.set(Config{})
	if got := strings.TrimSpace(w.sh(w.exit, "cat /proc/sys/net/ipv6/conf/wan/accept_ra")); got != "1" {
		t.Errorf("afterwards accept_ra is %s", got)
	}
}

// TestNetnsBorn: an interface that comes up while IPv6 is forwarded heeds router
// advertisements meanwhile, and nothing remains of that on it, nor was the host's
// default for what is born ever another.
func TestNetnsBorn(t *testing.T) {
	w := newWorld(t)
	w.sh(w.exit, "sysctl -qw net.ipv6.conf.default.accept_ra=1; ip link add early type bridge")
	h := offering(t, w)
	const accept = "cat /proc/sys/net/ipv6/conf/%s/accept_ra"
	value := func(name string) string { return strings.TrimSpace(w.sh(w.exit, fmt.Sprintf(accept, name))) }
	w.sh(w.exit, "for i in late gone other; do ip link add $i type bridge; done; ip link set other name renamed; for i in early late gone renamed; do ip link set $i up; done")
	for _, name := range []string{"early", "late", "gone", "renamed"} {
		w.sh(w.exit, fmt.Sprintf("for i in $(seq 100); do test $("+accept+") = 2 && exit; sleep 0.1; done; exit 1", name))
	}
	if got := value("default"); got != "1" {
		t.Errorf("meanwhile the default of accept_ra is %s", got)
	}
	w.sh(w.exit, "ip link del gone; ip link add last type bridge; ip link set last up; for i in $(seq 100); do test $("+fmt.Sprintf(accept, "last")+") = 2 && exit; sleep 0.1; done; exit 1")
	if got := h.ask("journal"); strings.Contains(got, "/gone/") || !strings.Contains(got, "/last/") {
		t.Errorf("journalled: %s", got)
	}
	if p := h.ask("problems"); p != "[]" {
		t.Errorf("problems: %s", p)
	}
	h.set(Config{})
	for _, name := range []string{"early", "late", "last", "renamed", "default"} {
		if got := value(name); got != "1" {
			t.Errorf("afterwards accept_ra of %s is %s", name, got)
		}
	}
}

// TestNetnsOwnForwarding: what each interface forwards, which the switch for all
// of them overwrites, comes back.
func TestNetnsOwnForwarding(t *testing.T) {
	w := newWorld(t)
	w.sh(w.exit, "sysctl -qw net.ipv6.conf.wan.forwarding=1; sysctl -qw net.ipv6.conf.home.forwarding=2; sysctl -qw net.ipv6.conf.default.forwarding=1")
	before := w.sh(w.exit, hostState)
	h := start(t, w.exit)
	o := w.offer()
	o.Exit = true
	c := Config{Offers: []Offer{o}}
	h.set(c)
	w.reach(w.member, internet)
	w.sh(w.exit, "sysctl -qw net.ipv6.conf.all.forwarding=0")
	w.reach(w.member, internet) // put back
	h.set(c)
	h.set(Config{})
	w.same(before, "no offer any more")
}

// TestNetnsNoRouter keeps the exit from routing between its own networks.
func TestNetnsNoRouter(t *testing.T) {
	w := newWorld(t)
	offering(t, w)
	w.sh(w.router, "ip route add 192.168.7.0/24 via 203.0.113.2; ip -6 route add 2001:db8:7::/64 via 2001:db8:1::2")
	w.sh(w.exit, "sysctl -qw net.ipv4.conf.wan.forwarding=1")
	w.reach(w.router, map[string]bool{lan4: false, lan6: false})
}
