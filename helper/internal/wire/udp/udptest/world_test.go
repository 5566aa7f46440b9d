package udptest

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp"
)

// world is an internet: a router in the middle with one access link a site.
type world struct {
	t     *testing.T
	net   *Net
	core  *Router
	sites int
}

func newWorld(t *testing.T) *world {
	n := NewNet()
	return &world{t: t, net: n, core: n.Router("core")}
}

func p(format string, args ...any) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf(format, args...))
}

// site is an access link: its number is in its addresses, the core has .1.
func (w *world) site() (s *Segment, number int) {
	w.sites++
	s = w.net.Segment(fmt.Sprintf("site%d", w.sites))
	s.SetDelay(5 * time.Millisecond)
	w.core.Attach(s, p("203.0.%d.1/24", w.sites), p("2001:db8:%d::1/64", w.sites))
	return s, w.sites
}

// public is a host with addresses of its own.
func (w *world) public(name string) (*Host, netip.Addr) {
	s, n := w.site()
	h := w.net.Host(name)
	h.Attach(s, p("203.0.%d.2/24", n), p("2001:db8:%d::2/64", n))
	h.AddDefault(s, p("203.0.%d.1/24", n).Addr(), 0)
	h.AddDefault(s, p("2001:db8:%d::1/64", n).Addr(), 0)
	return h, p("203.0.%d.2/24", n).Addr()
}

// uplink plugs a router into a site as its first customer.
func (w *world) uplink(r *Router, nat *NAT) (outer netip.Addr) {
	s, n := w.site()
	r.Attach(s, p("203.0.%d.2/24", n))
	r.AddDefault(s, p("203.0.%d.1/24", n).Addr(), 0)
	r.SetOutside(s)
	r.SetNAT(nat)
	return p("203.0.%d.2/24", n).Addr()
}

// home is a router and a host behind it, at 10.N.0.2.
func (w *world) home(n int, nat *NAT) (*Host, *Router, netip.Addr) {
	r := w.net.Router(fmt.Sprintf("router%d", n))
	h := w.behind(r, n)
	return h, r, w.uplink(r, nat)
}

// behind makes a LAN of r with a host on it.
func (w *world) behind(r *Router, n int) *Host {
	lan := w.net.Segment(fmt.Sprintf("lan%d", n))
	r.Attach(lan, p("10.%d.0.1/24", n))
	h := w.net.Host(fmt.Sprintf("host%d", n))
	h.Attach(lan, p("10.%d.0.2/24", n))
	h.AddDefault(lan, p("10.%d.0.1/24", n).Addr(), 0)
	return h
}

// port opens a UDP port that the test closes.
func (w *world) port(h *Host, number uint16) udp.Conn {
	w.t.Helper()
	c, err := h.Listen(number)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

func (w *world) send(c udp.Conn, to netip.AddrPort) {
	w.t.Helper()
	if err := c.WriteBatch([][]byte{[]byte("x")}, to, udp.Source{}); err != nil {
		w.t.Fatal(err)
	}
}

// heard waits a second for an IPv4 datagram and tells where it came from; the
// zero address: none came.
func (w *world) heard(c udp.Conn) netip.AddrPort {
	stop := time.AfterFunc(time.Second, c.Interrupt)
	defer stop.Stop()
	defer c.Resume()
	pkts := []udp.Packet{{Buf: make([]byte, 100)}}
	if n, err := c.Readers()[0](pkts); n == 0 || err != nil {
		return netip.AddrPort{}
	}
	return pkts[0].Addr
}

// drain forgets what has come.
func (w *world) drain(c udp.Conn) {
	for w.heard(c).IsValid() {
	}
}

func at(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }
