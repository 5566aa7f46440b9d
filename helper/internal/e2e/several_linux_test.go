package e2e

import (
	"strings"
	"testing"

	"kith.internal/ipc"
)

func TestNetnsTwoNetworksAtOnce(t *testing.T) {
	bed := newBed(t)
	a := bed.start("a")
	b := bed.start("b")
	m := bed.start("m")
	a.create("red")
	b.create("blue")
	m.join(a)
	m.join(b)
	m.reach("a.red.internal", patience)
	m.reach("b.blue.internal", patience)
	m.reach("a", patience)
	m.reach("b", patience)
	a.reach("m.red.internal", patience)
	b.reach("m.blue.internal", patience)

	red, blue := m.network("red"), m.network("blue")
	if red.Self.Key == blue.Self.Key || *red.Self.IPv6 == *blue.Self.IPv6 {
		t.Errorf("m shows itself as one in both: %v %v", red.Self, blue.Self)
	}
	for _, c := range []struct {
		n     *node
		other *node
		far   ipc.Network
	}{{a, b, b.network()}, {b, a, a.network()}} {
		if peers := c.n.network().Peers; len(peers) != 1 || peers[0].Name != "m" {
			t.Errorf("%s sees %+v", c.n.name, peers)
		}
		for _, target := range []string{c.far.Self.IPv6.String(), c.far.Self.IPv4.String(), m.network(c.far.Alias).Self.IPv6.String()} {
			// Through m, even where a route is forced.
			c.n.run(c.n.host.Command("ip", "route", "add", target, "dev", "kith0"), "")
			if c.n.ping(target) {
				t.Errorf("%s reaches %s, which is %s's", c.n.name, target, c.far.Alias)
			}
		}
		if strings.Contains(c.n.kith("roster", "--json")+c.n.kith("device", "list", "--json"), c.far.Self.Key) {
			t.Errorf("%s knows the key of %s", c.n.name, c.other.name)
		}
		if c.n.run(c.n.host.Command("getent", "ahosts", c.other.name+"."+c.far.Alias+".internal"), "").code == 0 {
			t.Errorf("%s has a name for %s", c.n.name, c.other.name)
		}
	}

	// Leaving one leaves the other alone; both last over a restart.
	m.kill()
	m.start()
	m.reach("a.red.internal", patience)
	m.reach("b.blue.internal", patience)
	m.kith("--network", "red", "leave", "--yes")
	m.reach("b.blue.internal", patience)
	if m.ping("a.red.internal") {
		t.Error("m reaches a after it left red")
	}
	until(t, "a hears that m left", patience, func() bool { return len(a.network().Peers) == 0 })
}

// Two networks of one name: the later goes by another name on this device.
func TestNetnsTwoNetworksOfOneName(t *testing.T) {
	bed := newBed(t)
	a := bed.start("a")
	b := bed.start("b")
	m := bed.start("m")
	a.create("home")
	b.create("home")
	m.join(a)
	m.join(b)
	m.reach("a.home.internal", patience)
	m.reach("b.home-2.internal", patience)
	if got := m.network("home-2").Name; got != "home" {
		t.Errorf("home-2 is called %s", got)
	}
	if got := m.try("invite"); got.code != ipc.ExitUsage {
		t.Errorf("kith invite in two networks: %+v", got)
	}
	m.kill()
	m.start()
	m.reach("b.home-2.internal", patience)
}
