package udptest

import (
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

// route leads by a gateway on a segment that the host is plugged into.
type route struct {
	prefix  netip.Prefix
	via     *iface
	gateway netip.Addr
	metric  int
}

// way is what a route says of one destination.
type way struct {
	via  *iface
	from netip.Addr // the source address that is taken
	hop  netip.Addr // who takes the packet next
}

// AddRoute has the host send what goes to prefix by a gateway on s. Of several
// routes the longest prefix counts, then the lowest metric. Detach takes them
// away; while s is down they are not there.
func (h *Host) AddRoute(prefix netip.Prefix, s *Segment, gateway netip.Addr, metric int) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.addRoute(prefix, s, gateway, metric)
}

func (h *Host) addRoute(prefix netip.Prefix, s *Segment, gateway netip.Addr, metric int) {
	i := h.on(s)
	if i == nil {
		panic(fmt.Sprintf("udptest: a route of %s by %s, where it is not attached", h.name, s.name))
	}
	h.routes = append(h.routes, route{prefix.Masked(), i, gateway, metric})
	h.net.shape++
}

// AddDefault adds the default route of gateway's family.
func (h *Host) AddDefault(s *Segment, gateway netip.Addr, metric int) {
	h.AddRoute(netip.PrefixFrom(gateway, 0), s, gateway, metric)
}

// RemoveRoutes takes away all routes by s.
func (h *Host) RemoveRoutes(s *Segment) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.routes = slices.DeleteFunc(h.routes, func(r route) bool { return r.via.segment == s })
	h.net.shape++
}

// Routes is what netmon would see on the host: its default routes and others
// by gateways.
func (h *Host) Routes() []netmon.Route {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	var out []netmon.Route
	for _, r := range h.routes {
		if r.via.up() && !h.off(r.gateway) {
			out = append(out, netmon.Route{
				Prefix: r.prefix, Index: r.via.index, Gateway: r.gateway, Metric: r.metric, Table: 254,
			})
		}
	}
	return out
}

// Default is the index of the interface with the host's default route of a
// family, 0 for none.
func (h *Host) Default(v6 bool) int {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	a := netip.IPv4Unspecified()
	if v6 {
		a = netip.IPv6Unspecified()
	}
	if r := h.best(a, nil); r != nil && !h.off(a) {
		return r.via.index
	}
	return 0
}

// best is the best route to a, by an interface alone if only is not nil.
func (h *Host) best(a netip.Addr, only *iface) (best *route) {
	for i := range h.routes {
		r := &h.routes[i]
		if !r.via.up() || only != nil && r.via != only || !r.prefix.Contains(a) {
			continue
		}
		if best == nil || r.prefix.Bits() > best.prefix.Bits() || r.prefix.Bits() == best.prefix.Bits() && r.metric < best.metric {
			best = r
		}
	}
	return best
}

// found is what a host has looked up while nothing changed: a router in the
// middle of a large net passes on each packet of everybody.
type found struct {
	shape uint64
	own   map[netip.Addr]bool
	ways  map[netip.Addr]way
}

func (h *Host) known() *found {
	f := &h.found
	if f.own != nil && f.shape == h.net.shape {
		return f
	}
	*f = found{h.net.shape, map[netip.Addr]bool{}, map[netip.Addr]way{}}
	for _, i := range h.ifaces {
		for _, p := range i.prefixes {
			f.own[p.Addr()] = true
		}
	}
	return f
}

// route picks the way to a. A source that the host has decides on the
// interface. The net is locked.
func (h *Host) route(a netip.Addr, src udp.Source) (way, error) {
	if src != (udp.Source{}) {
		return h.look(a, src)
	}
	ways := h.known().ways
	w, ok := ways[a]
	if !ok {
		var err error
		if w, err = h.look(a, src); err != nil {
			return w, err
		}
		ways[a] = w
	}
	return w, nil
}

func (h *Host) look(a netip.Addr, src udp.Source) (way, error) {
	zone := udp.Index(a)
	a = a.WithZone("")
	if h.owns(a) {
		return way{h.ifaces[0], a, a}, nil
	}
	if s := h.byIndex(src.Index); s != nil && s.up() && (zone == 0 || zone == s.index) && (s.has(src.Addr) || !src.Addr.IsValid()) {
		if w, ok := h.by(s, a); ok {
			if src.Addr.IsValid() && src.Addr.Is4() == a.Is4() {
				w.from = src.Addr
			}
			return w, nil
		}
	}
	if linkLocal(a) && a.Is6() && zone == 0 {
		return way{}, fmt.Errorf("send to %v: no zone: %w", a, syscall.EINVAL)
	}
	for _, i := range h.ifaces {
		if i.up() && (zone == 0 || zone == i.index) && i.reaches(a) {
			if from := i.source(a); from.IsValid() {
				return way{i, from, a}, nil
			}
		}
	}
	if r := h.best(a, nil); r != nil && zone == 0 {
		if from := r.via.source(a); from.IsValid() {
			return way{r.via, from, r.gateway}, nil
		}
	}
	return way{}, fmt.Errorf("send to %v: %w", a, syscall.ENETUNREACH)
}

// by is the way to a by one interface.
func (h *Host) by(i *iface, a netip.Addr) (way, bool) {
	w := way{via: i, from: i.source(a), hop: a}
	if !i.reaches(a) {
		r := h.best(a, i)
		if r == nil {
			return w, false
		}
		w.hop = r.gateway
	}
	return w, w.from.IsValid()
}
