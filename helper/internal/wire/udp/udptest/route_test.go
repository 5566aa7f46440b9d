package udptest

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/wire/udp"
)

// uplinks is a host with two, of metrics 100 and 200, and a server.
func uplinks(t *testing.T) (w *world, h *Host, links [2]*Segment, routers [2]*Router, outer [2]netip.Addr) {
	w = newWorld(t)
	h = w.net.Host("h")
	for i := range links {
		r := w.net.Router("r")
		links[i] = w.net.Segment("lan")
		r.Attach(links[i], p("10.%d.0.1/24", i))
		h.Attach(links[i], p("10.%d.0.2/24", i))
		h.AddDefault(links[i], p("10.%d.0.1/24", i).Addr(), 100+100*i)
		routers[i], outer[i] = r, w.uplink(r, &Masquerade)
	}
	return w, h, links, routers, outer
}

func TestDefaultRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h, links, routers, outer := uplinks(t)
		s, ats := w.public("s")
		cs, c := w.port(s, 80), w.port(h, 5000)
		sees := func(what string, src udp.Source, want netip.Addr) {
			t.Helper()
			err := c.WriteBatch([][]byte{{1}}, at(ats, 80), src)
			if err != nil {
				t.Fatal(err)
			}
			if got := w.heard(cs); got.Addr() != want {
				t.Errorf("%s: seen as %v, want %v", what, got.Addr(), want)
			}
		}
		second := udp.Source{Addr: p("10.1.0.2/24").Addr(), Index: h.on(links[1]).index}
		sees("the lowest metric", udp.Source{}, outer[0])
		sees("by the second uplink", second, outer[1])
		sees("by its interface", udp.Source{Index: second.Index}, outer[1])
		routers[0].SetSilent(true)
		sees("the first is silent", udp.Source{}, netip.Addr{})
		sees("the second is not", second, outer[1])
		routers[0].SetSilent(false)
		links[0].SetDown(true)
		sees("the first is down", udp.Source{}, outer[1])
		if got := h.Default(false); got != second.Index {
			t.Errorf("default route by interface %d", got)
		}
		if r := h.Routes(); len(r) != 1 || r[0].Metric != 200 || !r[0].IsDefault() {
			t.Errorf("routes: %+v", r)
		}
		h.Detach(links[1])
		if err := c.WriteBatch([][]byte{{1}}, at(ats, 80), udp.Source{}); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("without uplinks: %v", err)
		}
	})
}

// TestRouterFilter: what a filter refuses does not leave; a loop ends.
func TestRouterFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h, r, _ := w.home(1, &Masquerade)
		s, ats := w.public("s")
		cs, c := w.port(s, 443), w.port(h, 5000)
		r.SetFilter(OnlyTCP(80, 443))
		w.send(c, at(ats, 443))
		if w.heard(cs).IsValid() {
			t.Error("UDP leaves by a filter for TCP")
		}
		r.SetFilter(nil)
		w.core.AddRoute(p("198.51.100.0/24"), r.outside.segment, r.outside.source(ats), 0)
		w.send(c, at(p("198.51.100.1/24").Addr(), 80))
		w.send(c, at(ats, 443))
		if !w.heard(cs).IsValid() {
			t.Error("nothing leaves after a loop")
		}
	})
}

// TestRoutedIPv6: stateful firewalls on both sides of a routed path.
func TestRoutedIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ha, _ := w.public("a")
		hb, _ := w.public("b")
		ha.SetFirewall(true)
		hb.SetFirewall(true)
		ca, cb := w.port(ha, 1000), w.port(hb, 2000)
		to := func(n int, port uint16) netip.AddrPort { return at(p("2001:db8:%d::2/64", n).Addr(), port) }
		heard := func(c udp.Conn) bool {
			defer time.AfterFunc(time.Second, c.Interrupt).Stop()
			defer c.Resume()
			n, _ := c.Readers()[1]([]udp.Packet{{Buf: make([]byte, 10)}})
			return n > 0
		}
		w.send(ca, to(2, 2000))
		if heard(cb) {
			t.Error("the firewall lets a stranger in")
		}
		w.send(cb, to(1, 1000))
		if !heard(ca) {
			t.Error("the firewall keeps an answer out")
		}
		w.send(ca, to(2, 2000))
		if !heard(cb) {
			t.Error("both have sent, and the second is kept out")
		}
	})
}
