package e2e

import (
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// The provider gives a's router another address; what the NAT had mapped is gone.
func addressChanges(t *testing.T) (gap time.Duration) {
	w := newWorld(t)
	s := w.founder()
	home, other := w.site("a", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	a, b := w.member("a", home.lan), w.member("b", other.lan)
	a.join(s)
	w.meet(s, a, b, patience, ipc.PathDirect)
	pass := a.passTo(b)
	home.wan.Renumber(home.router)
	pass.settle()
	gap = pass.over("another public address")
	w.between(a, b, patience, ipc.PathDirect)
	return gap
}

func TestNetnsPath14AddressChanges(t *testing.T) {
	within(t, "another public address", time.Second, addressChanges)
}

func anotherLAN(t *testing.T) (gap time.Duration) {
	w := newWorld(t)
	s := w.founder()
	home, cafe, other := w.site("a", netnstest.HomeNAT), w.site("cafe", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	a, b := w.member("a", home.lan), w.member("b", other.lan)
	a.join(s)
	w.meet(s, a, b, patience, ipc.PathDirect)
	pass := a.passTo(b)
	a.host.Detach(home.lan.LAN)
	cafe.lan.Join(a.host, 100)
	pass.settle()
	gap = pass.over("another LAN")
	w.between(a, b, patience, ipc.PathDirect)
	return gap
}

func TestNetnsPath15AnotherLAN(t *testing.T) { within(t, "another LAN", time.Second, anotherLAN) }

// The uplink and S vanish under two nodes on one LAN, which then restart.
func noInternet(t *testing.T) (restart time.Duration) {
	w := newWorld(t)
	s := w.founder()
	home := w.site("home", netnstest.HomeNAT)
	a, b := w.member("a", home.lan), w.member("b", home.lan)
	a.join(s)
	w.meet(s, a, b, patience, ipc.PathLAN)
	pass := a.passTo(b)
	home.wan.Unplug(home.router)
	s.kill()
	pass.settle()
	<-time.After(5 * time.Second) // what was known of s grows old
	pass.smooth("S vanishes")
	restart = pass.restarted(b)
	w.between(a, b, patience, ipc.PathLAN)
	pass.tcp.whole()
	return restart
}

func TestNetnsPath16NoInternet(t *testing.T) {
	within(t, "restart without internet", 2*time.Second, noInternet)
}

// S is killed, then both restart behind NATs that still know their mappings.
func noSponsor(t *testing.T) (restart time.Duration) {
	w := newWorld(t)
	s := w.founder()
	one, two := w.site("a", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	a, b := w.member("a", one.lan), w.member("b", two.lan)
	a.join(s)
	w.meet(s, a, b, patience, ipc.PathDirect)
	pass := a.passTo(b)
	s.kill()
	pass.settle()
	<-time.After(5 * time.Second)
	pass.smooth("S vanishes")
	restart = pass.restarted(b)
	w.between(a, b, patience, ipc.PathDirect)
	pass.tcp.whole()
	return restart
}

func TestNetnsPath17NoSponsor(t *testing.T) { within(t, "restart without S", 2*time.Second, noSponsor) }

// twoUplinks is a with two of them, the better one first, and b behind a NAT.
func twoUplinks(t *testing.T) (w *world, first *site, a, b *node) {
	t.Helper()
	w = newWorld(t)
	s := w.founder()
	first = w.site("first", netnstest.HomeNAT)
	second, other := w.site("second", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	a, b = w.member("a", first.lan, second.lan), w.member("b", other.lan)
	a.join(s)
	w.meet(s, a, b, patience, ipc.PathDirect)
	return w, first, a, b
}

func uplinkUnplugged(t *testing.T) (gap time.Duration) {
	w, first, a, b := twoUplinks(t)
	pass := a.passTo(b)
	first.lan.Unplug(a.host)
	pass.settle()
	gap = pass.over("the uplink's link is gone")
	w.between(a, b, patience, ipc.PathDirect)
	return gap
}

func TestNetnsPath20UplinkUnplugged(t *testing.T) {
	within(t, "an uplink unplugged", time.Second, uplinkUnplugged)
}

func uplinkSilent(t *testing.T) (gap time.Duration) {
	w, first, a, b := twoUplinks(t)
	pass := a.passTo(b)
	first.router.Load(netnstest.Silent())
	pass.settle()
	gap = pass.over("the uplink is silent")
	w.between(a, b, patience, ipc.PathDirect)
	return gap
}

func TestNetnsPath20UplinkSilent(t *testing.T) {
	within(t, "an uplink falls silent", 3*time.Second, uplinkSilent)
}

// Loss both ways, which no path choice can help.
func loss(t *testing.T) (gap time.Duration) {
	w := newWorld(t)
	s := w.founder()
	one, two := w.site("a", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	a, b := w.member("a", one.lan), w.member("b", two.lan)
	a.join(s)
	w.meet(s, a, b, patience, ipc.PathDirect)
	pass := a.passTo(b)
	for _, percent := range []int{5, 20} {
		a.host.Load(netnstest.Loss("lan-a", percent))
		b.host.Load(netnstest.Loss("lan-b", percent))
		changes, last := 0, way(a.sees("b"))
		until(t, "ten seconds", patience, func() func() bool {
			end := time.Now().Add(10 * time.Second)
			return func() bool {
				if now := way(a.sees("b")); now != last {
					t.Logf("%d %% lost: from %s to %s", percent, last, now)
					changes, last = changes+1, now
				}
				return time.Now().After(end)
			}
		}())
		if changes > 1 || a.sees("b").Path != ipc.PathDirect {
			t.Errorf("%d %% lost: %d changes of the path, now %s", percent, changes, way(a.sees("b")))
		}
	}
	return pass.over("5 and 20 % lost")
}

func TestNetnsPath21Loss(t *testing.T) { within(t, "5 and 20 % lost", 2*time.Second, loss) }

// The relay in use is killed under two nodes behind symmetric NATs.
func relayKilled(t *testing.T) (gap time.Duration) {
	w := newWorld(t)
	s := w.founder()
	second := w.public("t")
	second.join(s)
	second.kith("relay", "on")
	until(t, "s hears what t asks for", patience, func() bool { return s.pending("t") != nil })
	s.kith("device", "approve", "t")
	one, two := w.site("a", netnstest.SymmetricNAT), w.site("b", netnstest.SymmetricNAT)
	a, b := w.member("a", one.lan), w.member("b", two.lan)
	a.join(s)
	until(t, "a knows both relays", patience, func() bool { return a.sees("s").Relay && a.sees("t").Relay })
	w.meet(s, a, b, patience, ipc.PathRelayed)
	pass := a.passTo(b)
	pass.settle()
	via := a.sees("b").Via
	if via == nil {
		t.Fatalf("no relay in %s", way(a.sees("b")))
	}
	for _, r := range []*node{s, second} {
		if r.name == *via {
			r.kill()
		}
	}
	pass.settle()
	gap = pass.over("the relay in use is killed")
	w.between(a, b, patience, ipc.PathRelayed)
	return gap
}

func TestNetnsPath23TwoRelays(t *testing.T) {
	within(t, "the relay in use is killed", time.Second, relayKilled)
}
