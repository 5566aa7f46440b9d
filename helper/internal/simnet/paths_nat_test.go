package simnet

import (
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
)

// TestPath04Invite: the inviting device is behind a NAT itself, and the relay
// lets the joiner reach it.
func TestPath04Invite(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a, b := n.Server("s"), n.Host("a", n.Home("home a").LAN), n.Host("b", n.Home("home b").LAN)
		s.Start()
		phrase := s.Create("home")
		relayOn(t, s)
		join(t, s, a)
		recoverOwner(t, a, phrase)
		time.Sleep(3 * time.Second)
		join(t, a, b)
		direct(t, b, a)
	})
}

func behind(name string, nat udptest.NAT) func(*Net) *Host {
	return func(n *Net) *Host { return n.Host(name, n.Site("home "+name, Uplink{NAT: &nat}).LAN) }
}

func TestPath07BothSymmetric(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a, b := n.Server("s"), behind("a", udptest.Symmetric)(n), behind("b", udptest.Symmetric)(n)
		relayed(t, s, a, b)
		onPath(t, a, b, time.Second, ipc.PathRelayed, ipc.PathForwarded)
		p := a.Pings("b")
		defer p.Stop()
		time.Sleep(time.Minute)
		if g := p.Gap(); g > 200*time.Millisecond {
			t.Errorf("silent for %v", g)
		}
	})
}

// carried is a home behind a carrier.
func carried(n *Net, name string, carrier *Site) *Host {
	return n.Host(name, n.Site("home "+name, Uplink{NAT: &udptest.Masquerade, Behind: carrier}).LAN)
}

func TestPath08CarrierNATs(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		carrier := Uplink{NAT: &udptest.Carrier}
		s, a, b := n.Server("s"), carried(n, "a", n.Site("carrier a", carrier)), carried(n, "b", n.Site("carrier b", carrier))
		relayed(t, s, a, b)
		direct(t, a, b)
	})
}

func TestPath09OneCarrier(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		kind := udptest.Carrier
		kind.Hairpin = false
		carrier := n.Site("carrier", Uplink{NAT: &kind})
		s, a, b := n.Server("s"), carried(n, "a", carrier), carried(n, "b", carrier)
		relayed(t, s, a, b)
		onPath(t, a, b, time.Second, ipc.PathRelayed)
		p := a.Pings("b")
		defer p.Stop()
		time.Sleep(time.Minute)
		if g := p.Gap(); g > 200*time.Millisecond {
			t.Errorf("silent for %v", g)
		}
	})
}

func TestPath10OneCarrierHairpin(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		carrier := n.Site("carrier", Uplink{NAT: &udptest.Carrier})
		s, a, b := n.Server("s"), carried(n, "a", carrier), carried(n, "b", carrier)
		relayed(t, s, a, b)
		direct(t, a, b)
	})
}

func TestPath13IPv6AndBoth(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		six := n.Site("six", Uplink{IPv6: true, Firewall: true})
		both := n.Site("both", Uplink{NAT: &udptest.Masquerade, IPv6: true, Firewall: true})
		s, a, b := n.Server("s"), n.Host("a", six.LAN), n.Host("b", both.LAN)
		relayed(t, s, a, b)
		direct(t, a, b)
	})
}
