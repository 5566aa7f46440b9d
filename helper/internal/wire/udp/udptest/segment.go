package udptest

import (
	"net/netip"
	"slices"
	"time"
)

const defaultMTU = 1500

// Segment is a link that hosts are attached to: a LAN.
type Segment struct {
	net    *Net
	name   string
	ports  []*iface
	delay  time.Duration
	loss   float64
	mtu    int
	down   bool
	filter func(Datagram) bool
}

// Segment makes a link.
func (n *Net) Segment(name string) *Segment { return &Segment{net: n, name: name, mtu: defaultMTU} }

// SetDelay sets how long a datagram travels.
func (s *Segment) SetDelay(d time.Duration) { s.set(func() { s.delay = d }) }

// SetLoss sets the share of datagrams, of 1, that get lost.
func (s *Segment) SetLoss(share float64) { s.set(func() { s.loss = share }) }

// SetMTU sets the size, IP and UDP headers included, above which datagrams are
// silently lost.
func (s *Segment) SetMTU(bytes int) { s.set(func() { s.mtu = bytes }) }

// SetDown cuts the link: hosts see no carrier.
func (s *Segment) SetDown(down bool) { s.set(func() { s.down = down; s.net.shape++ }) }

// SetFilter shows each datagram to pass before dice are thrown, and loses those
// it refuses; nil takes all. It also serves to record. It must not call the net.
func (s *Segment) SetFilter(pass func(Datagram) bool) { s.set(func() { s.filter = pass }) }

func (s *Segment) set(change func()) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	change()
}

// Inject puts a datagram on the segment as if some stranger there had sent it.
func (s *Segment) Inject(d Datagram) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	d.Payload = slices.Clone(d.Payload)
	s.carry(nil, d, d.To.Addr())
}

// carry takes a datagram from one port to the one that has the address hop, or
// to all others if the datagram is a multicast one. The net is locked.
func (s *Segment) carry(from *iface, d Datagram, hop netip.Addr) {
	if s.down || d.size() > s.mtu || s.filter != nil && !s.filter(d) || s.loss > 0 && s.net.rng.Float64() < s.loss {
		return
	}
	s.net.after(s.delay, func() {
		if s.down {
			return
		}
		for _, p := range s.ports {
			if p != from && (d.To.Addr().IsMulticast() || p.has(hop)) {
				p.host.receive(p, d)
			}
		}
	})
}

// iface is a host's port on a segment; without a segment it is the loopback.
type iface struct {
	host     *Host
	segment  *Segment
	index    int
	name     string
	prefixes []netip.Prefix // link-local first
	gone     bool           // it was unplugged
}

func (i *iface) has(a netip.Addr) bool {
	return slices.ContainsFunc(i.prefixes, func(p netip.Prefix) bool { return p.Addr() == a })
}

func (i *iface) reaches(a netip.Addr) bool {
	return slices.ContainsFunc(i.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (i *iface) up() bool { return i.segment == nil || !i.segment.down }

// source is the address that the interface sends from to a.
func (i *iface) source(a netip.Addr) (best netip.Addr) {
	for _, p := range i.prefixes {
		if p.Addr().Is4() != a.Is4() || p.Addr().IsLinkLocalUnicast() != linkLocal(a) {
			continue
		}
		if p.Contains(a) || !best.IsValid() {
			best = p.Addr()
		}
	}
	return best
}

func linkLocal(a netip.Addr) bool {
	return a.IsLinkLocalUnicast() || a.Is6() && a.IsLinkLocalMulticast()
}
