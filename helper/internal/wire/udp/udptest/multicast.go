package udptest

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

// The groups stand for discover's, whatever those are.
var (
	group4 = netip.MustParseAddrPort("239.0.0.1:1")
	group6 = netip.MustParseAddrPort("[ff02::1]:1")
)

// Multicast is a host's discover.Multicast.
type Multicast interface {
	Join([]netmon.Interface) error
	Send(b []byte, ifindex int) error
	Read(b []byte) (n int, from netip.AddrPort, ifindex int, err error)
	Close() error
}

type multicast struct {
	host       *Host
	joined     map[int]bool // guarded by the net's mutex
	in         *inbox
	closed     chan struct{}
	closedOnce sync.Once
}

// Multicast opens the discovery port of the host. Several may be open, as
// several processes would.
func (h *Host) Multicast() Multicast {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	m := &multicast{host: h, joined: map[int]bool{}, in: newInbox(), closed: make(chan struct{})}
	h.multicasts = append(h.multicasts, m)
	return m
}

func (m *multicast) Join(ifaces []netmon.Interface) error {
	select {
	case <-m.closed:
		return net.ErrClosed
	default:
	}
	m.host.net.mu.Lock()
	defer m.host.net.mu.Unlock()
	clear(m.joined)
	var err error
	for _, i := range ifaces {
		if m.host.byIndex(i.Index) == nil {
			err = fmt.Errorf("join on interface %s: %w", i.Name, syscall.ENODEV)
			continue
		}
		m.joined[i.Index] = true
	}
	return err
}

func (m *multicast) Send(b []byte, ifindex int) error {
	select {
	case <-m.closed:
		return net.ErrClosed
	default:
	}
	m.host.net.mu.Lock()
	defer m.host.net.mu.Unlock()
	if m.host.asleep {
		return nil
	}
	i := m.host.byIndex(ifindex)
	if i == nil || i.segment == nil || !m.joined[ifindex] {
		return fmt.Errorf("send on interface %d: %w", ifindex, syscall.ENODEV)
	}
	for _, group := range []netip.AddrPort{group6, group4} {
		if from := i.source(group.Addr()); from.IsValid() && !m.host.off(from) {
			d := Datagram{From: netip.AddrPortFrom(from, group.Port()), To: group}
			d.Payload = slices.Clone(b)
			if m.host.net.tap != nil {
				m.host.net.tap(m.host.name, d)
			}
			i.segment.carry(i, d, group.Addr())
			for _, own := range m.host.multicasts { // as IP_MULTICAST_LOOP does
				own.receive(i, d)
			}
		}
	}
	return nil
}

// receive puts a datagram into the buffer. The net is locked.
func (m *multicast) receive(in *iface, d Datagram) {
	if !m.joined[in.index] {
		return
	}
	from := d.From.Addr()
	if from.Is6() && from.IsLinkLocalUnicast() {
		from = udp.WithIndex(from, in.index)
	}
	m.in.put(arrival{netip.AddrPortFrom(from, d.From.Port()), udp.Source{Index: in.index}, d.Payload})
}

func (m *multicast) Read(b []byte) (int, netip.AddrPort, int, error) {
	for {
		select {
		case <-m.closed:
			return 0, netip.AddrPort{}, 0, net.ErrClosed
		default:
		}
		var got arrival
		if m.in.take(1, func(_ int, a arrival) { got = a }) > 0 {
			return copy(b, got.payload), got.from, got.to.Index, nil
		}
		select {
		case <-m.closed:
		case <-m.in.some:
		}
	}
}

func (m *multicast) Close() error {
	m.closedOnce.Do(func() {
		close(m.closed)
		m.host.net.mu.Lock()
		defer m.host.net.mu.Unlock()
		for i, o := range m.host.multicasts {
			if o == m {
				m.host.multicasts = append(m.host.multicasts[:i:i], m.host.multicasts[i+1:]...)
				break
			}
		}
	})
	return nil
}
