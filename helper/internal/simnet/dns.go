package simnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	mdns "github.com/miekg/dns"

	"kith.internal/dns/osconf"
	"kith.internal/dns/plan"
	"kith.internal/dns/stub"
)

// sockets are the stub's.
type sockets struct{ b *boot }

// socket is a UDP port of the stub.
type socket struct {
	in     chan question
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex
	waits map[netip.AddrPort]chan []byte
	next  uint16
}

type question struct {
	data []byte
	from netip.AddrPort
}

func (s sockets) ListenUDP(_ context.Context, addr netip.AddrPort) (stub.PacketConn, error) {
	c := &socket{in: make(chan question, 100), closed: make(chan struct{}), waits: map[netip.AddrPort]chan []byte{}, next: 40000}
	s.b.mu.Lock()
	s.b.sockets[addr] = c
	s.b.mu.Unlock()
	s.b.hold(c.Close)
	return c, nil
}

func (c *socket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case q := <-c.in:
		return copy(b, q.data), q.from, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (c *socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waits[to]; w != nil {
		w <- append([]byte(nil), b...)
		delete(c.waits, to)
	}
	return len(b), nil
}

func (c *socket) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

// ask sends a question from the host's own address, and waits.
func (c *socket) ask(from netip.Addr, q []byte) ([]byte, error) {
	w := make(chan []byte, 1)
	c.mu.Lock()
	c.next++
	at := netip.AddrPortFrom(from, c.next)
	c.waits[at] = w
	c.mu.Unlock()
	c.in <- question{q, at}
	select {
	case b := <-w:
		return b, nil
	case <-c.closed:
		return nil, net.ErrClosed
	case <-time.After(5 * time.Second):
		return nil, context.DeadlineExceeded
	}
}

type listener struct {
	closed chan struct{}
	once   *sync.Once
}

func (l listener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l listener) Addr() net.Addr            { return nil }
func (l listener) Close() error              { l.once.Do(func() { close(l.closed) }); return nil }

// ListenTCP accepts nobody.
func (s sockets) ListenTCP(context.Context, netip.AddrPort) (net.Listener, error) {
	l := listener{make(chan struct{}), new(sync.Once)}
	s.b.hold(l.Close)
	return l, nil
}

// manager is the system's resolver as the engine tells it.
type manager struct {
	b       *boot
	journal osconf.Journal
}

const resolvConf = "resolv.conf"

func (m *manager) Set(c plan.OSConfig) error {
	if c.IsZero() {
		return m.undo()
	}
	h := m.b.h
	if m.b.isDead() {
		return nil
	}
	h.mu.Lock()
	fresh := h.resolv.IsZero()
	h.mu.Unlock()
	if fresh {
		if err := m.journal.Begin(osconf.Entry{Kind: resolvConf, Path: "/etc/" + resolvConf}); err != nil {
			return err
		}
	}
	h.mu.Lock()
	h.resolv = c
	h.mu.Unlock()
	return nil
}

func (m *manager) undo() error {
	h := m.b.h
	h.mu.Lock()
	had := !h.resolv.IsZero() && !m.b.isDead()
	if had {
		h.resolv = plan.OSConfig{}
	}
	h.mu.Unlock()
	if !had {
		return nil
	}
	return m.journal.Done(osconf.Entry{Kind: resolvConf, Path: "/etc/" + resolvConf})
}

func (m *manager) Base() osconf.Base           { return osconf.Base{Nameservers: m.b.h.upstream} }
func (m *manager) Mode() (osconf.Mode, string) { return osconf.ModePlain, "simulated" }
func (m *manager) Abilities() plan.Abilities   { return plan.PlainFile }
func (m *manager) Close() error                { return m.undo() }

// Resolve looks a name up as a program on the host does: through the system's
// resolver, with its search list.
func (h *Host) Resolve(name string) ([]netip.Addr, error) {
	c := h.Resolver()
	if len(c.Nameservers) == 0 || h.boot == nil {
		return nil, fmt.Errorf("%s resolves %s: no name server", h.name, name)
	}
	names := []string{name}
	if !strings.Contains(name, ".") {
		names = names[:0]
		for _, s := range c.Search {
			names = append(names, name+"."+s)
		}
	}
	var out []netip.Addr
	for _, n := range names {
		for _, t := range []uint16{mdns.TypeA, mdns.TypeAAAA} {
			addrs, err := h.query(c.Nameservers[0], n, t)
			if err != nil {
				return nil, fmt.Errorf("%s resolves %s: %w", h.name, n, err)
			}
			out = append(out, addrs...)
		}
		if len(out) > 0 {
			break
		}
	}
	return out, nil
}

func (h *Host) query(server netip.Addr, name string, kind uint16) ([]netip.Addr, error) {
	q := new(mdns.Msg).SetQuestion(mdns.Fqdn(name), kind)
	b, err := q.Pack()
	if err != nil {
		return nil, err
	}
	h.boot.mu.Lock()
	s := h.boot.sockets[netip.AddrPortFrom(server, 53)]
	h.boot.mu.Unlock()
	if s == nil || h.boot.device(func(d *device) bool { return d.owns(server) }) == nil {
		return nil, fmt.Errorf("ask %s: connection refused", server)
	}
	if b, err = s.ask(server, b); err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	var a mdns.Msg
	if err := a.Unpack(b); err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, r := range a.Answer {
		switch r := r.(type) {
		case *mdns.A:
			out = append(out, netip.AddrFrom4([4]byte(r.A.To4())))
		case *mdns.AAAA:
			out = append(out, netip.AddrFrom16([16]byte(r.AAAA)))
		}
	}
	return out, nil
}
