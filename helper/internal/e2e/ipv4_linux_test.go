package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"kith.internal/ipc"
)

// ask asks the node's own stub and returns the answer's addresses.
func (n *node) ask(name string, qtype uint16) (out []string) {
	n.t.Helper()
	at := n.network().Self.DNS
	if at == nil {
		n.t.Fatalf("%s: the stub answers nowhere", n.name)
	}
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	var reply *dns.Msg
	var err error
	n.host.Do(func() { reply, err = dns.Exchange(m, at.String()) })
	if err != nil || reply.Rcode != dns.RcodeSuccess {
		n.t.Fatalf("%s: ask %v for %s: %v %v", n.name, at, name, err, reply)
	}
	for _, rr := range reply.Answer {
		out = append(out, strings.Fields(rr.String())[4])
	}
	return out
}

// range4 is the range of the node's only network and an address of it that
// nobody has.
func (n *node) range4() (within netip.Prefix) {
	n.t.Helper()
	four := n.network().Self.IPv4.As4()
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{four[0], four[1], 250, 1}), 24)
}

// on6Alone waits until n runs on IPv6 alone and checks all that follows.
func (n *node) on6Alone(code string, other *node) {
	t := n.t
	t.Helper()
	took := until(t, n.name+" says "+code, patience, func() bool { return n.health(code) && n.network().Self.IPv4 == nil })
	t.Logf("%s: on IPv6 alone after %v", code, took)
	if self := n.network().Self; self.IPv6 == nil || self.DNS == nil || !self.DNS.Addr().Is6() {
		t.Errorf("%s on IPv6 alone: %+v", n.name, self)
	}
	for _, name := range []string{n.name, other.name} {
		if got := n.ask(name+".home.internal", dns.TypeA); len(got) > 0 {
			t.Errorf("%s answers A for %s with %v", n.name, name, got)
		}
		if got := n.ask(name+".home.internal", dns.TypeAAAA); len(got) != 1 {
			t.Errorf("%s answers AAAA for %s with %v", n.name, name, got)
		}
	}
	until(t, other.name+" hears that "+n.name+" has no IPv4", patience, func() bool { return other.peer(n.name).IPv4 == nil })
	if got := other.ask(n.name+".home.internal", dns.TypeA); len(got) > 0 {
		t.Errorf("%s answers A for %s with %v", other.name, n.name, got)
	}
	t.Logf("pings: %v, %v", n.reach(other.name+".home.internal", patience), other.reach(n.name+".home.internal", patience))
	n.kith("ping", other.name, "-c", "1")
	if got := n.try("roster"); got.code != 0 {
		t.Errorf("%s: kith roster: %+v", n.name, got)
	}
}

// onBoth waits until n runs on both families again.
func (n *node) onBoth(code string, other *node) {
	n.t.Helper()
	took := until(n.t, n.name+" is back on IPv4", patience, func() bool { return !n.health(code) && n.network().Self.IPv4 != nil })
	n.t.Logf("%s: back on IPv4 after %v", code, took)
	until(n.t, other.name+" hears of it", patience, func() bool { return other.peer(n.name).IPv4 != nil })
	n.reach(other.name+".home.internal", patience, "-4")
	other.reach(n.name+".home.internal", patience, "-4")
}

func TestNetnsIPv4Conflict(t *testing.T) {
	_, a, b := pair(t)
	a.create("home")
	b.join(a)
	b.reach("a.home.internal", patience, "-4")
	taken := b.range4().String()
	other := func(do string) { b.host.Run("ip", "addr", do, taken, "dev", "other") }
	b.host.Run("ip", "link", "add", "other", "type", "veth", "peer", "name", "far")
	b.host.Run("ip", "link", "set", "far", "up")
	b.host.Run("ip", "link", "set", "other", "up")

	other("add")
	b.on6Alone(ipc.HealthIPv4Conflict, a)
	other("del")
	b.onBoth(ipc.HealthIPv4Conflict, a)

	b.term()
	other("add")
	b.start()
	b.on6Alone(ipc.HealthIPv4Conflict, a)
	b.kill()
	b.start()
	b.on6Alone(ipc.HealthIPv4Conflict, a)
	if got := b.host.Run("ip", "addr", "show", "dev", "other"); !strings.Contains(got, taken) {
		t.Errorf("the other interface has lost its address: %s", got)
	}
	other("del")
	b.onBoth(ipc.HealthIPv4Conflict, a)
}

// Another VPN's rule that drops the shared range wherever it does not come from
// its own interface.
func TestNetnsIPv4Dropped(t *testing.T) {
	const add = `table ip other { chain input { type filter hook input priority 0; iifname != "vpn0" ip saddr 100.64.0.0/10 drop; }; }`
	_, a, b := pair(t)
	a.create("home")
	b.host.NFT(add)
	b.join(a)
	b.on6Alone(ipc.HealthIPv4Blocked, a)
	b.kill()
	b.start()
	b.on6Alone(ipc.HealthIPv4Blocked, a)
	b.term()
	b.host.NFT("delete table ip other")
	b.start()
	b.onBoth(ipc.HealthIPv4Blocked, a)
	// No link changes with a rule: it is looked at again with the next change.
	b.host.NFT(add)
	b.host.Run("ip", "link", "add", "other", "type", "veth", "peer", "name", "far")
	b.host.Run("ip", "link", "set", "other", "up")
	b.on6Alone(ipc.HealthIPv4Blocked, a)
	b.host.NFT("delete table ip other")
	b.host.Run("ip", "link", "del", "other")
	b.onBoth(ipc.HealthIPv4Blocked, a)
}
