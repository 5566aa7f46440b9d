package simnet

import (
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
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
