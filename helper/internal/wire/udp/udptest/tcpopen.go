package udptest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"kith.internal/helper/internal/wire/udp"
)

// accepts is how many connections wait to be accepted.
const accepts = 128

// SetName has all hosts resolve a name to these addresses.
func (n *Net) SetName(name string, addrs ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.names[name] = addrs
}

// Lookup resolves a name.
func (n *Net) Lookup(name string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.names[name]; len(a) > 0 {
		return append([]netip.Addr(nil), a...), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

type listener struct {
	host       *Host
	addr       netip.AddrPort // unspecified: all
	queue      chan *tcpConn
	closed     chan struct{}
	closedOnce sync.Once
}

// ListenTCP listens on "IP:PORT", or ":PORT" for all addresses; port 0 picks
// one.
func (h *Host) ListenTCP(addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ip := netip.IPv6Unspecified()
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return nil, err
		}
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	p := uint16(number)
	for p == 0 {
		if q := h.freePort(); h.listeners[q] == nil {
			p = q
		}
	}
	fail := func(err error) error {
		return &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, p)), Err: err}
	}
	if h.listeners[p] != nil {
		return nil, fail(syscall.EADDRINUSE)
	}
	if !ip.IsUnspecified() && !h.owns(ip) {
		return nil, fail(syscall.EADDRNOTAVAIL)
	}
	l := &listener{host: h, addr: netip.AddrPortFrom(ip, p), queue: make(chan *tcpConn, accepts), closed: make(chan struct{})}
	h.listeners[p] = l
	return l, nil
}

func (h *Host) freePort() uint16 { return uint16(32768 + h.net.rng.IntN(60999-32768)) }

func (l *listener) takes(a netip.Addr) bool {
	return l.addr.Addr().IsUnspecified() || l.addr.Addr() == a
}

// offer puts a connection into the queue. The net is locked.
func (l *listener) offer(c *tcpConn) bool {
	select {
	case <-l.closed:
		return false
	default:
	}
	select {
	case l.queue <- c:
		return true
	default:
		return false
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
	case c := <-l.queue:
		return c, nil
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

func (l *listener) Close() error {
	l.closedOnce.Do(func() {
		l.host.net.mu.Lock()
		defer l.host.net.mu.Unlock()
		close(l.closed)
		delete(l.host.listeners, l.addr.Port())
		for {
			select {
			case c := <-l.queue:
				c.abort()
			default:
				return
			}
		}
	})
	return nil
}

// DialTCP connects to "IP:PORT" or "NAME:PORT", whose addresses it tries one
// after another; network is tcp, tcp4 or tcp6.
func (h *Host) DialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		addrs = []netip.Addr{ip}
	} else if addrs, err = h.net.Lookup(host); err != nil {
		return nil, err
	}
	err = fmt.Errorf("dial %s: no address for %s", addr, network)
	for _, ip := range addrs {
		if ip = ip.Unmap(); ip.Is4() && network == "tcp6" || ip.Is6() && network == "tcp4" {
			continue
		}
		var c *tcpConn
		if c, err = h.dial(ctx, netip.AddrPortFrom(ip, uint16(number))); err == nil {
			return c, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func (h *Host) dial(ctx context.Context, to netip.AddrPort) (*tcpConn, error) {
	fail := func(err error) error {
		return &net.OpError{Op: "dial", Net: network(to.Addr()), Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	if ctx.Err() != nil {
		return nil, fail(ctx.Err())
	}
	mu := &h.net.mu
	mu.Lock()
	w, err := h.route(to.Addr(), udp.Source{})
	if err != nil || h.off(to.Addr()) {
		mu.Unlock()
		return nil, fail(syscall.ENETUNREACH)
	}
	to = netip.AddrPortFrom(to.Addr().WithZone(""), to.Port())
	from := netip.AddrPortFrom(w.from, h.freePort())
	for h.flows[[2]netip.AddrPort{from, to}] != nil {
		from = netip.AddrPortFrom(w.from, h.freePort())
	}
	c := h.newConn(from, to, synSent)
	c.pump()
	for c.state == synSent {
		changed := c.changed
		mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		mu.Lock()
		if c.state == synSent && ctx.Err() != nil {
			c.fail(ctx.Err())
		}
	}
	state, err := c.state, c.err
	mu.Unlock()
	if state == gone && err != nil {
		return nil, fail(err)
	}
	return c, nil
}
