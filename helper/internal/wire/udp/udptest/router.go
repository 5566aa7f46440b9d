package udptest

import (
	"net/netip"
	"slices"

	"kith.internal/helper/internal/wire/udp"
)

// maxHops is how many routers a packet passes.
const maxHops = 30

// Router passes packets on between the segments that its Host is attached to,
// by its routes. It has no ports of its own.
type Router struct {
	*Host
	outside *iface // what faces the world: translated, walled and filtered at
	nat     *nat
	wall    *firewall
	pass    func(Datagram) bool
	silent  bool
}

// Router makes a router that is attached to nothing.
func (n *Net) Router(name string) *Router {
	r := &Router{Host: n.Host(name)}
	r.Host.router = r
	return r
}

// SetOutside says which segment the router's uplink is on. Its IPv4 address
// there is what a NAT shows of those inside.
func (r *Router) SetOutside(s *Segment) { r.set(func() { r.outside = r.on(s) }) }

// SetNAT has the router translate IPv4 at its uplink; nil ends that.
func (r *Router) SetNAT(kind *NAT) {
	r.set(func() {
		r.nat = nil
		if kind != nil {
			r.nat = newNAT(r.net, *kind)
		}
	})
}

// SetFirewall has the router refuse what comes in by its uplink unasked.
func (r *Router) SetFirewall(on bool) { r.set(func() { r.wall = newFirewall(on, nil) }) }

// SetFilter shows each packet that leaves by the uplink, before translation,
// and loses those it refuses; nil takes all. It must not call the net.
func (r *Router) SetFilter(pass func(Datagram) bool) { r.set(func() { r.pass = pass }) }

// OnlyTCP is a filter that lets out nothing but TCP to these ports.
func OnlyTCP(ports ...uint16) func(Datagram) bool {
	return func(d Datagram) bool { return d.TCP() && slices.Contains(ports, d.To.Port()) }
}

// SetSilent has the router lose all packets while its links stay up.
func (r *Router) SetSilent(silent bool) { r.set(func() { r.silent = silent }) }

// Rebind gives the uplink other addresses and forgets what was translated and
// let in, as a new lease of a dynamic address does. Without addresses it keeps
// those it has, as a router that was restarted.
func (r *Router) Rebind(addrs ...netip.Prefix) {
	if len(addrs) > 0 {
		r.Attach(r.outside.segment, addrs...)
	}
	r.set(func() {
		if r.nat != nil {
			r.nat = newNAT(r.net, r.nat.kind)
		}
		r.wall = newFirewall(r.wall != nil, nil)
	})
}

func (r *Router) set(change func()) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	change()
}

// receive takes a packet on. The net is locked.
func (r *Router) receive(in *iface, d Datagram) {
	d.hops++
	if r.silent || d.hops > maxHops || linkLocal(d.To.Addr()) {
		return
	}
	if in == r.outside {
		r.inward(d)
	} else {
		r.outward(d)
	}
}

func (r *Router) inward(d Datagram) {
	switch {
	case r.translates(d.To.Addr()):
		var ok bool
		if d, ok = r.nat.in(d); ok {
			r.forward(d)
		}
	case r.wall.admits(d):
		r.forward(d)
	}
}

// translates tells whether a is what the NAT shows of those inside.
func (r *Router) translates(a netip.Addr) bool {
	return r.nat != nil && r.outside != nil && a.Is4() && r.outside.has(a)
}

func (r *Router) outward(d Datagram) {
	hairpin := r.translates(d.To.Addr())
	if hairpin && !r.nat.kind.Hairpin {
		return
	}
	w, err := r.route(d.To.Addr(), udp.Source{})
	if err != nil || w.via.segment == nil && !hairpin {
		return
	}
	if w.via != r.outside && !hairpin {
		r.forward(d)
		return
	}
	if r.pass != nil && !r.pass(d) {
		return
	}
	r.wall.remember(d)
	if r.nat != nil && d.From.Addr().Is4() {
		d = r.nat.out(d, r.outside.source(d.To.Addr()))
	}
	if hairpin {
		r.inward(d)
	} else {
		r.forward(d)
	}
}

func (r *Router) forward(d Datagram) {
	if w, err := r.route(d.To.Addr(), udp.Source{}); err == nil && w.via.segment != nil {
		w.via.segment.carry(w.via, d, w.hop)
	}
}
