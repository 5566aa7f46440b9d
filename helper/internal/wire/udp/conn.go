package udp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"

	"kith.internal/helper/internal/osnet/nat64"
)

const (
	bufferSize = 7 << 20 // of the kernel, each way: bursts of a gigabit for some 50 ms
	lowestPort = 20001
	tries      = 100
)

// sockets is the host's Conn: a socket a family.
type sockets struct {
	port   uint16
	v4, v6 *socket     // nil where the host lacks the family
	no4    atomic.Bool // IPv4 was of no use lately: it may be behind a NAT64
}

// Listen opens the port on all addresses of the host, in IPv4 and IPv6, or in
// the one of them that the host has. Port 0 picks a free one above 20000. A
// taken port gives ErrInUse.
func Listen(port uint16) (Conn, error) {
	if port != 0 {
		return listen(port)
	}
	for try := 1; ; try++ {
		c, err := listen(uint16(lowestPort + rand.IntN(65536-lowestPort)))
		if err == nil || !errors.Is(err, ErrInUse) || try == tries {
			return c, err
		}
	}
}

func listen(port uint16) (Conn, error) {
	v4, err4 := open("udp4", port)
	v6, err6 := open("udp6", port)
	if err4 == nil && err6 == nil || err4 == nil && lacksFamily(err6) || err6 == nil && lacksFamily(err4) {
		return &sockets{port: port, v4: v4, v6: v6}, nil
	}
	for _, s := range []*socket{v4, v6} {
		if s != nil {
			s.close()
		}
	}
	err := errors.Join(err4, err6)
	if errors.Is(err, errAddrInUse) {
		err = ErrInUse
	}
	return nil, fmt.Errorf("listen on UDP port %d: %w", port, err)
}

// lacksFamily tells that the host has the family turned off.
func lacksFamily(err error) bool {
	return errors.Is(err, errNoFamily) || errors.Is(err, errNoAddress)
}

func (c *sockets) Port() uint16 { return c.port }
func (c *sockets) Has4() bool   { return c.v4 != nil }
func (c *sockets) Has6() bool   { return c.v6 != nil }

func (c *sockets) each(do func(*socket) error) error {
	var errs []error
	for _, s := range []*socket{c.v4, c.v6} {
		if s != nil {
			errs = append(errs, do(s))
		}
	}
	return errors.Join(errs...)
}

func (c *sockets) Readers() (out []func([]Packet) (int, error)) {
	if c.v4 != nil {
		out = append(out, c.v4.read)
	}
	if c.v6 != nil {
		out = append(out, c.read6)
	}
	return out
}

// read6 says IPv4 to what a NAT64 has translated.
func (c *sockets) read6(pkts []Packet) (int, error) {
	n, err := c.v6.read(pkts)
	if c.no4.Load() {
		for i := range pkts[:n] {
			p := &pkts[i]
			p.Addr = netip.AddrPortFrom(nat64.Extract(p.Addr.Addr()), p.Addr.Port())
		}
	}
	return n, err
}

func (c *sockets) WriteBatch(bufs [][]byte, to netip.AddrPort, src Source) error {
	if len(bufs) > MaxBatch {
		return fmt.Errorf("send to %v: a batch of %d is over %d", to, len(bufs), MaxBatch)
	}
	addr := to.Addr().Unmap()
	s := c.v4
	if addr.Is6() {
		s = c.v6
		if (addr.Zone() != "" || addr.IsLinkLocalUnicast()) && Index(addr) == 0 {
			return fmt.Errorf("send to %v: no interface index as zone: %w", to, syscall.EINVAL)
		}
	}
	if s == nil || !addr.IsValid() {
		return fmt.Errorf("send to %v: %w", to, syscall.EAFNOSUPPORT)
	}
	from := src
	if src.Addr.Is4() != addr.Is4() || Index(addr) != 0 && Index(addr) != src.Index {
		from = Source{}
	}
	err := s.write(bufs, netip.AddrPortFrom(addr, to.Port()), from)
	if addr.Is4() {
		err = c.translated(err, bufs, netip.AddrPortFrom(addr, to.Port()), src)
	}
	if err != nil {
		return fmt.Errorf("send to %v: %w", to, plain(err))
	}
	return nil
}

// translated sends what found no way for IPv4 by IPv6, for a NAT64 to pass on.
func (c *sockets) translated(err error, bufs [][]byte, to netip.AddrPort, src Source) error {
	if !nat64.Lacking(err) || c.v6 == nil {
		if err == nil && c.no4.Load() {
			c.no4.Store(false)
		}
		return err
	}
	six := nat64.Embed(to.Addr())
	if !six.IsValid() {
		return err
	}
	c.no4.Store(true)
	if src.Addr.Is4() {
		src = Source{}
	}
	if c.v6.write(bufs, netip.AddrPortFrom(six, to.Port()), src) != nil {
		return err
	}
	return nil
}

func (c *sockets) Interrupt() {
	c.each(func(s *socket) error { return s.udp.SetReadDeadline(past) })
}

func (c *sockets) Resume() {
	c.each(func(s *socket) error { return s.udp.SetReadDeadline(never) })
}

func (c *sockets) SetMark(mark uint32) error {
	if err := c.each(func(s *socket) error { return s.setMark(mark) }); err != nil {
		return fmt.Errorf("mark sockets of UDP port %d: %w", c.port, err)
	}
	return nil
}

func (c *sockets) Close() error { return c.each((*socket).close) }

func (s *socket) close() error {
	if err := s.udp.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// plain strips net's wrapping off the two errors that callers tell apart.
func plain(err error) error {
	switch {
	case errors.Is(err, net.ErrClosed):
		return net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return os.ErrDeadlineExceeded
	}
	return err
}
