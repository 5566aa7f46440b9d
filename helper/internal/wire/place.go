package wire

import (
	"net/netip"
	"slices"

	"kith.internal/helper/internal/wire/udp"
)

// place is where a datagram comes from or goes to. It is comparable.
type place struct {
	addr netip.AddrPort // of UDP, else zero
	via  carrier        // nil: the main sockets
}

// at is the place of an address that the main sockets deal with.
func at(addr netip.AddrPort) place { return place{addr: addr} }

// carrier carries datagrams beside the main sockets. It is comparable.
type carrier interface {
	write(bufs [][]byte, to netip.AddrPort, src udp.Source) error
}

func (l *place) isUDP() bool { return l.addr.IsValid() }

// send sends whole datagrams to a place.
func (w *Wire) send(bufs [][]byte, to *place, src udp.Source) error {
	if to.via == nil {
		return w.conn.WriteBatch(bufs, to.addr, src)
	}
	return to.via.write(bufs, to.addr, src)
}

// kindOf is the class of paths to a place.
func (w *Wire) kindOf(l *local, to place) PathKind {
	if !to.isUDP() {
		return Direct
	}
	return l.kind(to.addr.Addr())
}

// usable tells whether the place may be a peer's.
func (w *Wire) usable(l *local, to place) bool {
	switch v := to.via.(type) {
	case *wireLink:
		return !v.gone.Load()
	case *port:
		return !v.gone.Load() && !l.forbidden(to.addr.Addr())
	}
	ip := to.addr.Addr()
	return to.addr.Port() != 0 && !l.forbidden(ip) &&
		!(to.addr.Port() == w.conn.Port() && (l.ours(ip) || ip.IsLoopback())) &&
		(ip.Is4() && w.conn.Has4() || ip.Is6() && w.conn.Has6())
}

// targets are the places to probe: where the peer has answered, and all
// candidates on all links.
func (p *peer) targets(l *local) []place {
	var out []place
	add := func(to place) {
		if len(out) < maxProbes && p.wire.usable(l, to) && !slices.Contains(out, to) {
			out = append(out, to)
		}
	}
	for _, q := range p.c.paths.all {
		add(q.place)
	}
	for _, v := range p.c.links {
		add(place{via: v})
	}
	for _, list := range [][]netip.AddrPort{p.given, p.c.told} {
		for _, a := range list {
			for _, a := range l.expand(a, nil) {
				add(at(a))
			}
		}
	}
	return out
}
