package simnet

import (
	"strings"
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// filtered is a host at home whose router lets out TCP to these ports alone.
func filtered(n *Net, name string, ports ...uint16) *Host {
	home := n.Home("home " + name)
	home.Router.SetFilter(udptest.OnlyTCP(ports...))
	return n.Host(name, home.LAN)
}

func TestPath11OnlyTCP(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a, b := n.Server("s"), filtered(n, "a", 80, 443), n.Host("b", n.Home("home b").LAN)
		relayed(t, s, a, b)
		onPath(t, a, b, 2*time.Second, ipc.PathRelayed)
		overTLS(t, a, b)
	})
}

// overTLS wants pings answered for a minute.
func overTLS(t *testing.T, a, b *Host) {
	t.Helper()
	p := a.Pings(b.name)
	defer p.Stop()
	time.Sleep(time.Minute)
	if g := p.Gap(); g > 300*time.Millisecond {
		t.Errorf("silent for %v", g)
	}
}

func TestPath12BothOnlyTCP(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a, b := n.Server("s"), filtered(n, "a", 443), filtered(n, "b", 443)
		relayed(t, s, a, b)
		onPath(t, a, b, 2*time.Second, ipc.PathRelayed)
		overTLS(t, a, b)
	})
}

// TestProxyWantsPassword: a device that joins through a proxy which wants a
// password is told so, though it is in no network yet.
func TestProxyWantsPassword(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, ph := n.Server("s"), n.Server("proxy")
		proxy, err := ph.udp.Proxy(":3128", "Basic dTpw")
		if err != nil {
			t.Fatal(err)
		}
		defer proxy.Close()
		a := filtered(n, "a", 3128)
		a.SetProxy("http://" + ph.addr4().String() + ":3128")
		found(t, s)
		if _, err := s.relay(t, ipc.RelayRequest{}); err != nil {
			t.Fatal(err)
		}
		a.Start()
		_, err = a.Engine.Join(t.Context(), server.Caller{}, ipc.JoinRequest{Link: s.Invite("", 1), Wait: 30})
		if ipc.CodeOf(err) != ipc.CodeTimeout {
			t.Fatalf("join: %v", err)
		}
		if c := a.check(ipc.CheckRelays); c.OK || c.Network != "home" || !strings.Contains(c.Detail, "the proxy wants a user's name and password (407)") {
			t.Errorf("diag says %+v", c)
		}
		a.Stop()
	})
}

func TestPath12Proxy(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, ph := n.Server("s"), n.Server("proxy")
		proxy, err := ph.udp.Proxy(":3128", "Basic dTpw")
		if err != nil {
			t.Fatal(err)
		}
		defer proxy.Close()
		at := ph.addr4()
		a, b := filtered(n, "a", 3128), filtered(n, "b", 3128)
		for _, h := range []*Host{a, b} {
			h.SetProxy("http://u:p@" + at.String() + ":3128")
		}
		relayed(t, s, a, b)
		onPath(t, a, b, 2*time.Second, ipc.PathRelayed)
		overTLS(t, a, b)
		if len(proxy.Asked()) == 0 {
			t.Error("nobody asked the proxy")
		}
		for _, h := range []*Host{a, b} {
			h.Stop()
		}
	})
}
