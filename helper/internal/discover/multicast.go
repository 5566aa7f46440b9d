package discover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

// backlog is how many datagrams wait for Read before the kernel's buffers do.
const backlog = 64

// received is a datagram of any of the sockets.
type received struct {
	payload []byte
	from    netip.AddrPort
	ifindex int
}

// sockets is the host's Multicast.
type sockets struct {
	v4   *ipv4.PacketConn // nil where the host lacks the family, or the port is taken
	v6   *ipv6.PacketConn
	tap  tap
	in   chan received
	quit chan struct{}
	done sync.WaitGroup

	mu     sync.Mutex // guards what follows, and the order of choosing an interface and sending
	closed bool
	links  map[int]link
}

// link is an interface that we are on.
type link struct {
	netmon.Interface
	joined4 []netip.Prefix // its IPv4 addresses when we joined, nil if we did not
	joined6 bool
}

// Open opens the port of announcements, which other processes may share. Where
// that fails (somebody else has the port alone, say) Join tries again and says why.
func Open() Multicast {
	m := &sockets{in: make(chan received, backlog), quit: make(chan struct{}), links: map[int]link{}}
	_ = m.open() // Join says it
	m.tap.open(m)
	return m
}

// open opens what is there of the two families, unless one is open.
func (m *sockets) open() error {
	if m.v4 != nil || m.v6 != nil {
		return nil
	}
	c4, err4 := listen("udp4", Group4)
	c6, err6 := listen("udp6", Group6)
	if err4 != nil && err6 != nil {
		return fmt.Errorf("listen for announcements: %w", errors.Join(err4, err6))
	}
	if err4 == nil {
		m.v4 = ipv4.NewPacketConn(c4)
		m.v4.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true) // Windows has none: see read4
		m.v4.SetMulticastLoopback(true)
		m.done.Go(m.read4)
	}
	if err6 == nil {
		m.v6 = ipv6.NewPacketConn(c6)
		m.v6.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true)
		m.v6.SetMulticastLoopback(true)
		m.done.Go(m.read6)
	}
	return nil
}

// listen opens a socket that shares its port, as net does for group addresses.
func listen(network string, group netip.Addr) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(setUp)
	}}
	return lc.ListenPacket(context.Background(), network, net.JoinHostPort(group.String(), strconv.Itoa(Port)))
}

func (m *sockets) Join(ifaces []netmon.Interface) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return net.ErrClosed
	}
	errs := []error{m.tap.problem(), m.open()}
	for index, l := range m.links {
		if !has(ifaces, index) {
			m.leave4(&l)
			m.leave6(&l)
			delete(m.links, index)
		}
	}
	for _, i := range ifaces {
		l := m.links[i.Index]
		l.Interface = i
		if err := m.join(&l); err != nil {
			errs = append(errs, fmt.Errorf("join on %s: %w", i.Name, err))
		}
		m.links[i.Index] = l
	}
	return errors.Join(errs...)
}

// join brings the memberships of an interface to what its addresses allow: on
// Windows and macOS a membership hangs on an IPv4 address.
func (m *sockets) join(l *link) error {
	var err4, err6 error
	dev := &net.Interface{Index: l.Index, Name: l.Name}
	if now := addrs4(l.Interface); m.v4 != nil && !slices.Equal(now, l.joined4) {
		m.leave4(l)
		if len(now) > 0 {
			if err4 = m.v4.JoinGroup(dev, &net.UDPAddr{IP: Group4.AsSlice()}); err4 == nil {
				l.joined4 = now
			}
		}
	}
	if m.v6 != nil && has6(l.Interface) && !l.joined6 {
		err6 = m.v6.JoinGroup(dev, &net.UDPAddr{IP: Group6.AsSlice()})
		l.joined6 = err6 == nil
	}
	return errors.Join(err4, err6)
}

// leave4 leaves the group; an interface that is gone has left already.
func (m *sockets) leave4(l *link) {
	if len(l.joined4) > 0 {
		m.v4.LeaveGroup(&net.Interface{Index: l.Index, Name: l.Name}, &net.UDPAddr{IP: Group4.AsSlice()})
		l.joined4 = nil
	}
}

func (m *sockets) leave6(l *link) {
	if l.joined6 {
		m.v6.LeaveGroup(&net.Interface{Index: l.Index, Name: l.Name}, &net.UDPAddr{IP: Group6.AsSlice()})
		l.joined6 = false
	}
}

func addrs4(i netmon.Interface) (out []netip.Prefix) {
	for _, p := range i.Prefixes {
		if p.Addr().Is4() {
			out = append(out, p)
		}
	}
	return out
}

func has6(i netmon.Interface) bool {
	return slices.ContainsFunc(i.Prefixes, func(p netip.Prefix) bool {
		return p.Addr().Is6() && p.Addr().IsLinkLocalUnicast()
	})
}

func (m *sockets) Send(b []byte, ifindex int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return net.ErrClosed
	}
	l, ok := m.links[ifindex]
	if !ok {
		return fmt.Errorf("send on interface %d: not joined", ifindex)
	}
	var errs []error
	dev := &net.Interface{Index: l.Index, Name: l.Name}
	if m.v6 != nil && has6(l.Interface) {
		err := m.v6.SetMulticastInterface(dev)
		if err == nil {
			_, err = m.v6.WriteTo(b, nil, &net.UDPAddr{IP: Group6.AsSlice(), Port: Port})
		}
		errs = append(errs, err)
	}
	if m.v4 != nil && len(addrs4(l.Interface)) > 0 {
		err := m.v4.SetMulticastInterface(dev)
		if err == nil {
			_, err = m.v4.WriteTo(b, nil, &net.UDPAddr{IP: Group4.AsSlice(), Port: Port})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// read4 reads until Close. Where the system does not tell the interface, it is
// unknown: 0.
func (m *sockets) read4() {
	buf := make([]byte, 2048)
	for {
		n, cm, src, err := m.v4.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || cm != nil && !cm.Dst.IsMulticast() {
			continue
		}
		ifindex := 0
		if cm != nil {
			ifindex = cm.IfIndex
		}
		m.take(buf[:n], src, ifindex)
	}
}

func (m *sockets) read6() {
	buf := make([]byte, 2048)
	for {
		n, cm, src, err := m.v6.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || cm != nil && !cm.Dst.IsMulticast() {
			continue
		}
		ifindex := 0
		if cm != nil {
			ifindex = cm.IfIndex
		} else if dev, err := net.InterfaceByName(src.(*net.UDPAddr).Zone); err == nil {
			ifindex = dev.Index
		}
		m.take(buf[:n], src, ifindex)
	}
}

func (m *sockets) take(b []byte, src net.Addr, ifindex int) {
	from := src.(*net.UDPAddr).AddrPort()
	addr := from.Addr().Unmap().WithZone("")
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		addr = udp.WithIndex(addr, ifindex)
	}
	m.push(received{slices.Clone(b), netip.AddrPortFrom(addr, from.Port()), ifindex})
}

func (m *sockets) push(r received) {
	select {
	case m.in <- r:
	case <-m.quit:
	}
}

func (m *sockets) Read(b []byte) (int, netip.AddrPort, int, error) {
	select {
	case <-m.quit:
		return 0, netip.AddrPort{}, 0, net.ErrClosed
	case r := <-m.in:
		return copy(b, r.payload), r.from, r.ifindex, nil
	}
}

func (m *sockets) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.mu.Unlock()
	close(m.quit)
	var errs []error
	if m.v4 != nil {
		errs = append(errs, m.v4.Close())
	}
	if m.v6 != nil {
		errs = append(errs, m.v6.Close())
	}
	errs = append(errs, m.tap.close())
	m.done.Wait()
	return errors.Join(errs...)
}
