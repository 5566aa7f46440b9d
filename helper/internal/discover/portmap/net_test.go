package portmap

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/osnet/netmon"
)

var (
	lanAddr = netip.MustParseAddr("192.168.1.10")
	gwAddr  = netip.MustParseAddr("192.168.1.1")
	outAddr = netip.MustParseAddr("203.0.113.5")
	lan6    = netip.MustParseAddr("2001:db8:1::10")
	gw6     = netip.MustParseAddr("fe80::1")
)

// lan is a link in memory, for use in one testing/synctest bubble. It is a
// Network and a Source.
type lan struct {
	mu         sync.Mutex
	routers    []*router
	conns      map[netip.AddrPort]*lanConn
	next       uint16
	interfaces []netmon.Interface
	routes     []netmon.Route
	sent       atomic.Int64 // datagrams and connections
}

// newLAN has a host on it, with the routers' default routes.
func newLAN(routers ...*router) *lan {
	l := &lan{conns: map[netip.AddrPort]*lanConn{}, next: 40000}
	for i, r := range routers {
		r.lan = l
		l.routers = append(l.routers, r)
		if r.index == 0 {
			r.index = 2 + i
		}
		prefixes := []netip.Prefix{netip.PrefixFrom(r.client, 24), netip.MustParsePrefix("fe80::10/64")}
		all := netip.MustParsePrefix("0.0.0.0/0")
		if r.client.Is6() {
			prefixes[0] = netip.PrefixFrom(r.client, 64)
			all = netip.MustParsePrefix("::/0")
		}
		l.interfaces = append(l.interfaces, netmon.Interface{Index: r.index, Name: "eth", Up: true, Multicast: true, Prefixes: prefixes})
		l.routes = append(l.routes, netmon.Route{Prefix: all, Index: r.index, Gateway: r.addr, Metric: i})
	}
	return l
}

func (l *lan) State() (netmon.State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return netmon.State{Interfaces: l.interfaces}, nil
}

func (l *lan) Routes() ([]netmon.Route, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.routes, nil
}

func (l *lan) setRoutes(r ...netmon.Route) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.routes = r
}

type datagram struct {
	from netip.AddrPort
	b    []byte
}

type lanConn struct {
	lan    *lan
	addr   netip.AddrPort
	index  int
	in     chan datagram
	closed chan struct{}
	once   sync.Once
}

func (l *lan) UDP(local netip.Addr, index int) (Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next++
	c := &lanConn{lan: l, addr: netip.AddrPortFrom(local, l.next), index: index, in: make(chan datagram, 1000), closed: make(chan struct{})}
	l.conns[c.addr] = c
	return c, nil
}

func (c *lanConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	case d := <-c.in:
		return copy(b, d.b), d.from, nil
	}
}

func (c *lanConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c.lan.sent.Add(1)
	reached := false
	for _, r := range c.lan.routers {
		if r.index == c.index && (bare(to.Addr()) == r.addr || to == ssdpGroup) {
			reached = true
			for _, d := range r.datagram(c.addr, to, append([]byte(nil), b...)) {
				c.receive(d, r.delay)
			}
		}
	}
	if !reached && to != ssdpGroup {
		return 0, errors.New("network is unreachable")
	}
	return len(b), nil
}

func (c *lanConn) receive(d datagram, delay time.Duration) {
	if delay > 0 {
		time.AfterFunc(delay, func() { c.receive(d, 0) })
		return
	}
	select {
	case c.in <- d:
	default:
	}
}

func (c *lanConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (l *lan) TCP(ctx context.Context, local netip.Addr, index int, to netip.AddrPort) (net.Conn, error) {
	l.sent.Add(1)
	for _, r := range l.routers {
		r.mu.Lock()
		upnp := r.upnp
		r.mu.Unlock()
		if r.index == index && to.Addr() == r.addr && upnp != nil {
			a, b := net.Pipe()
			go upnp.serve(r, local, b)
			return a, nil
		}
	}
	return nil, errors.New("connection refused")
}
