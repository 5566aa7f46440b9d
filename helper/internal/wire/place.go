package wire

import (
	"net/netip"
	"slices"

	"kith.internal/helper/internal/wire/udp"
)

// place is where a datagram comes from or goes to. It is comparable.
type place struct {
	addr  netip.AddrPort // of UDP, else zero
	via   carrier        // nil: the main sockets
	chain chain          // over others
}

// at is the place of an address that the main sockets deal with.
func at(addr netip.AddrPort) place { return place{addr: addr} }

// carrier carries datagrams beside the main sockets. It is comparable.
type carrier interface {
	write(bufs [][]byte, to netip.AddrPort, src udp.Source) error
}

func (l *place) isUDP() bool   { return l.addr.IsValid() }
func (l *place) isChain() bool { return !l.chain.isZero() }

// send sends whole datagrams to a place.
func (w *Wire) send(bufs [][]byte, to *place, src udp.Source) error {
	switch {
	case to.via != nil:
		return to.via.write(bufs, to.addr, src)
	case to.isChain():
		return w.sendChain(bufs, &to.chain)
	}
	return w.conn.WriteBatch(bufs, to.addr, src)
}

// kindOf is the kind of paths to a place.
func (w *Wire) kindOf(l *local, to place) PathKind {
	switch {
	case to.isUDP():
		return l.kind(to.addr.Addr())
	case !to.isChain():
		return Direct
	}
	for _, hop := range to.chain.hops() {
		if p := w.dir.Load().byTag[hop]; p != nil && p.relay != nil {
			return Relayed
		}
	}
	return Forwarded
}

// class orders paths: a higher one is better, whatever the latency.
type class uint8

const (
	classLong class = iota // two hops or more
	classRelayed
	classForwarded
	classLink
	classDirect
	classLAN
)

func (to *place) class(k PathKind) class {
	switch {
	case k == LAN:
		return classLAN
	case to.isUDP():
		return classDirect
	case !to.isChain():
		return classLink
	case len(to.chain.hops()) > 1:
		return classLong
	case k == Relayed:
		return classRelayed
	}
	return classForwarded
}

// usable tells whether the place may be a peer's.
func (w *Wire) usable(l *local, to place) bool {
	switch v := to.via.(type) {
	case *wireLink:
		return !v.gone.Load()
	case *port:
		return !v.gone.Load() && !l.forbidden(to.addr.Addr())
	}
	if to.isChain() {
		first := w.dir.Load().byTag[to.chain[0]]
		return first != nil && first.near.Load() != nil
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
	for _, c := range p.chains {
		add(place{chain: c})
	}
	candidate := func(a netip.AddrPort) {
		for _, a := range l.expand(a, nil) {
			add(at(a))
		}
	}
	for _, a := range p.given {
		candidate(a)
	}
	for _, t := range p.c.told {
		candidate(t.addr)
	}
	return out
}
