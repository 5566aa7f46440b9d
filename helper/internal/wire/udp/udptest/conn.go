package udptest

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"kith.internal/helper/internal/wire/udp"
)

// conn is a udp.Conn on a Host.
type conn struct {
	host       *Host
	port       uint16
	in4, in6   *inbox     // nil where the family is off
	mu         sync.Mutex // guards what follows
	interrupt  chan struct{}
	suspended  bool
	closed     chan struct{}
	closedOnce sync.Once
}

var _ udp.Conn = (*conn)(nil)

// Listen opens a port; 0 picks one above 20000. It is the host's udp.Listen.
func (h *Host) Listen(port uint16) (udp.Conn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for port == 0 || h.conns[port] != nil {
		if port != 0 {
			return nil, fmt.Errorf("listen on UDP port %d: %w", port, udp.ErrInUse)
		}
		if p := uint16(20001 + h.net.rng.IntN(65535-20001)); h.conns[p] == nil {
			port = p
		}
	}
	c := &conn{host: h, port: port, interrupt: make(chan struct{}), closed: make(chan struct{})}
	if !h.no4 {
		c.in4 = newInbox()
	}
	if !h.no6 {
		c.in6 = newInbox()
	}
	h.conns[port] = c
	return c, nil
}

func (c *conn) Port() uint16 { return c.port }
func (c *conn) Has4() bool   { return c.in4 != nil }
func (c *conn) Has6() bool   { return c.in6 != nil }

func (c *conn) Readers() (out []func([]udp.Packet) (int, error)) {
	for _, in := range []*inbox{c.in4, c.in6} {
		if in != nil {
			out = append(out, func(pkts []udp.Packet) (int, error) { return c.read(in, pkts) })
		}
	}
	return out
}

func (c *conn) read(in *inbox, pkts []udp.Packet) (int, error) {
	for {
		c.mu.Lock()
		interrupt := c.interrupt
		c.mu.Unlock()
		select {
		case <-c.closed:
			return 0, net.ErrClosed
		default:
		}
		select {
		case <-interrupt:
			return 0, os.ErrDeadlineExceeded
		default:
		}
		if n := in.take(min(len(pkts), udp.MaxBatch), func(i int, a arrival) { fill(&pkts[i], a) }); n > 0 || len(pkts) == 0 {
			return n, nil
		}
		select {
		case <-c.closed:
		case <-interrupt:
		case <-in.some:
		}
	}
}

func fill(p *udp.Packet, a arrival) {
	p.N = copy(p.Buf, a.payload)
	p.Addr, p.Src = a.from, a.to
}

func (c *conn) WriteBatch(bufs [][]byte, to netip.AddrPort, src udp.Source) error {
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
	}
	if len(bufs) > udp.MaxBatch {
		return fmt.Errorf("send to %v: batch of %d", to, len(bufs))
	}
	if to.Addr().Is4() && c.in4 == nil || to.Addr().Is6() && c.in6 == nil {
		return fmt.Errorf("send to %v: %w", to, syscall.EAFNOSUPPORT)
	}
	c.host.net.mu.Lock()
	defer c.host.net.mu.Unlock()
	return c.host.send(bufs, c.port, to, src)
}

// receive puts a datagram into its socket's buffer. The net is locked.
func (c *conn) receive(in *iface, d Datagram) {
	b := c.in4
	if d.To.Addr().Is6() {
		b = c.in6
	}
	from := d.From.Addr()
	if from.Is6() && from.IsLinkLocalUnicast() {
		from = udp.WithIndex(from, in.index)
	}
	b.put(arrival{netip.AddrPortFrom(from, d.From.Port()), udp.Source{Addr: d.To.Addr(), Index: in.index}, d.Payload})
}

func (c *conn) Interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.suspended {
		c.suspended = true
		close(c.interrupt)
	}
}

func (c *conn) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.suspended {
		c.suspended = false
		c.interrupt = make(chan struct{})
	}
}

func (c *conn) SetMark(uint32) error { return nil }

func (c *conn) Close() error {
	c.closedOnce.Do(func() {
		close(c.closed)
		c.host.net.mu.Lock()
		defer c.host.net.mu.Unlock()
		delete(c.host.conns, c.port)
	})
	return nil
}
