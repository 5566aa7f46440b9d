package e2e

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// Rows where packets cross the internet.

// place puts a and b somewhere, and s where both can ask it.
type place func(w *world) (s, a, b *node)

// contact lets a and b meet there. The path must be one of these kinds soon after
// the first answered ping: the budget is a second.
func contact(t *testing.T, p place, kinds ...ipc.PathKind) {
	t.Helper()
	var direct time.Duration
	within(t, "from kith join to the first answered ping", 2*time.Second, func(t *testing.T) time.Duration {
		w := newWorld(t)
		s, a, b := p(w)
		a.join(s)
		a.meets(s)
		m := w.meet(s, a, b, patience, kinds...)
		direct = m.direct
		return m.join
	})
	if direct > slow*time.Second {
		t.Errorf("from there to %v: %v, budget 1 s", kinds, direct)
	}
}

func bothPublic(w *world) (s, a, b *node) { return w.founder(), w.public("a"), w.public("b") }

func TestNetnsPath02BothPublic(t *testing.T) { contact(t, bothPublic, ipc.PathDirect) }

func oneBehindNAT(w *world) (s, a, b *node) {
	home := w.site("a", netnstest.HomeNAT)
	return w.founder(), w.member("a", home.lan), w.public("b")
}

func TestNetnsPath03OneBehindNAT(t *testing.T) { contact(t, oneBehindNAT, ipc.PathDirect) }

func bothBehindNAT(w *world) (s, a, b *node) {
	one, two := w.site("a", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	return w.founder(), w.member("a", one.lan), w.member("b", two.lan)
}

func TestNetnsPath04BothBehindNAT(t *testing.T) { contact(t, bothBehindNAT, ipc.PathDirect) }

// birthday lets two nodes, one of them behind a symmetric NAT, meet three
// times: at once by the relay, in at least two of three directly after that.
func birthday(t *testing.T, p place) {
	t.Helper()
	const runs, least = 3, 2
	direct := 0
	for range runs {
		t.Run("", func(t *testing.T) {
			if born(t, p) < 10*time.Second {
				direct++
			}
		})
	}
	if direct < least {
		t.Errorf("direct in %d of %d runs", direct, runs)
	}
}

// born is how long the path took from relayed to direct; it waits ten seconds.
func born(t *testing.T, p place) time.Duration {
	t.Helper()
	w := newWorld(t)
	s, a, b := p(w)
	a.join(s)
	a.meets(s)
	w.meet(s, a, b, patience, ipc.PathRelayed, ipc.PathDirect)
	start := time.Now()
	pass := a.passTo(b)
	for a.sees("b").Path != ipc.PathDirect && time.Since(start) < 10*time.Second {
		<-time.After(20 * time.Millisecond)
	}
	took := time.Since(start)
	t.Logf("after %v: %s", took, way(a.sees("b")))
	pass.settle()
	pass.smooth("relayed turns direct")
	pass.tcp.whole()
	return took
}

func symmetricAndHome(w *world) (s, a, b *node) {
	one, two := w.site("a", netnstest.SymmetricNAT), w.site("b", netnstest.HomeNAT)
	return w.founder(), w.member("a", one.lan), w.member("b", two.lan)
}

func TestNetnsPath05SymmetricAndHome(t *testing.T) { birthday(t, symmetricAndHome) }

func symmetricAndFirewall(w *world) (s, a, b *node) {
	one := w.site("a", netnstest.SymmetricNAT)
	s, a, b = w.founder(), w.member("a", one.lan), w.public("b")
	b.host.Load(netnstest.Firewall("net-b"))
	return s, a, b
}

func TestNetnsPath06SymmetricAndFirewall(t *testing.T) { birthday(t, symmetricAndFirewall) }

func bothSymmetric(w *world) (s, a, b *node) {
	one, two := w.site("a", netnstest.SymmetricNAT), w.site("b", netnstest.SymmetricNAT)
	return w.founder(), w.member("a", one.lan), w.member("b", two.lan)
}

func TestNetnsPath07BothSymmetric(t *testing.T) {
	contact(t, bothSymmetric, ipc.PathRelayed, ipc.PathForwarded)
}

// carrier adds a carrier's NAT; it returns what makes a customer's uplink.
func (w *world) carrier(name string, hairpin bool) func(customer string) *netnstest.Subnet {
	w.t.Helper()
	r := w.bed.Router("c" + name)
	external := w.internet.Subnet("net-"+name).Join(r, 0)[0]
	r.Load(netnstest.CarrierNAT("net-"+name, external, hairpin))
	customers := 0
	return func(customer string) *netnstest.Subnet {
		customers++
		return r.Subnet("wan-"+customer, fmt.Sprintf("100.64.%d.0/24", customers))
	}
}

func twoCarriers(w *world) (s, a, b *node) {
	one := w.siteAt("a", w.carrier("x", false)("a"), netnstest.HomeNAT)
	two := w.siteAt("b", w.carrier("y", false)("b"), netnstest.HomeNAT)
	return w.founder(), w.member("a", one.lan), w.member("b", two.lan)
}

func TestNetnsPath08TwoCarriers(t *testing.T) { contact(t, twoCarriers, ipc.PathDirect) }

// oneCarrier is two homes behind one carrier's NAT.
func oneCarrier(w *world, hairpin bool) (s, a, b *node) {
	customer := w.carrier("x", hairpin)
	one, two := w.siteAt("a", customer("a"), netnstest.HomeNAT), w.siteAt("b", customer("b"), netnstest.HomeNAT)
	return w.founder(), w.member("a", one.lan), w.member("b", two.lan)
}

func noHairpin(w *world) (s, a, b *node) { return oneCarrier(w, false) }

func TestNetnsPath09OneCarrier(t *testing.T) { contact(t, noHairpin, ipc.PathRelayed) }

func hairpin(w *world) (s, a, b *node) { return oneCarrier(w, true) }

func TestNetnsPath10OneCarrierHairpin(t *testing.T) { contact(t, hairpin, ipc.PathDirect) }

// overTLS wants the path relayed, and the node's own part of it to be TLS.
func (w *world) overTLS(s, a, b *node, nodes ...*node) {
	w.t.Helper()
	w.meet(s, a, b, patience, ipc.PathRelayed)
	for _, n := range nodes {
		other := a
		if n == a {
			other = b
		}
		if p := n.sees(other.name); p.Transport == nil || *p.Transport != ipc.TransportTLS {
			w.t.Errorf("%s has %s", n.name, way(p))
		}
	}
	pass := a.passTo(b)
	pass.settle()
	pass.smooth("relayed over TLS")
	pass.tcp.whole()
}

func TestNetnsPath11Only80And443(t *testing.T) {
	w := newWorld(t)
	s := w.founder()
	one, two := w.site("a", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	one.router.Load(netnstest.OnlyTCP("wan-a", 80, 443))
	a, b := w.member("a", one.lan), w.member("b", two.lan)
	a.join(s)
	a.meets(s)
	w.overTLS(s, a, b, a)
}

func TestNetnsPath12BothOnly443(t *testing.T) {
	w := newWorld(t)
	s := w.founder()
	one, two := w.site("a", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	one.router.Load(netnstest.OnlyTCP("wan-a", 443))
	two.router.Load(netnstest.OnlyTCP("wan-b", 443))
	a, b := w.member("a", one.lan), w.member("b", two.lan)
	a.join(s)
	a.meets(s)
	w.overTLS(s, a, b, a, b)
}

// Nothing leaves either LAN but what its proxy sends.
func TestNetnsPath12BothThroughProxy(t *testing.T) {
	w := newWorld(t)
	s := w.founder()
	var nodes []*node
	var proxies []*netnstest.Proxy
	for _, name := range []string{"a", "b"} {
		site := w.site(name, netnstest.HomeNAT)
		site.router.Load(netnstest.Silent())
		at := netip.AddrPortFrom(site.lan.Prefixes[0].Addr().Next(), 3128)
		proxies = append(proxies, site.router.Proxy(at))
		n := bareNode(t, w.bed, name)
		site.lan.Join(n.host, 0)
		n.env = []string{"HTTPS_PROXY=http://" + at.String()}
		n.start()
		nodes = append(nodes, n)
	}
	a, b := nodes[0], nodes[1]
	a.join(s)
	a.meets(s)
	w.overTLS(s, a, b, a, b)
	for i, p := range proxies {
		if p.Tunnels.Load() == 0 {
			t.Errorf("%s has not used its proxy", nodes[i].name)
		}
	}
}

// A has IPv6 alone, B both families; both have addresses of their own and a
// firewall before them, B a NAT for IPv4 as well.
func onlyIPv6(w *world) (s, a, b *node) {
	var nodes []*node
	for i, prefixes := range [][]string{{"2001:db8:a::/64"}, {"2001:db8:b::/64", "192.168.77.0/24"}} {
		name := string(rune('a' + i))
		r := w.bed.Router("r" + name)
		external := w.internet.Subnet("wan-"+name).Join(r, 0)
		r.Load(netnstest.Firewall("wan-" + name))
		if len(prefixes) > 1 {
			r.Load(netnstest.HomeNAT("wan-" + name))
		}
		w.internet.Core.Route(netip.MustParsePrefix(prefixes[0]), external[1])
		nodes = append(nodes, w.member(name, r.Subnet("lan-"+name, prefixes...)))
	}
	return w.founder(), nodes[0], nodes[1]
}

func TestNetnsPath13OnlyIPv6(t *testing.T) { contact(t, onlyIPv6, ipc.PathDirect) }
