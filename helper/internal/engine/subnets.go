package engine

import (
	"bytes"
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// The shortest subnets that may be routed: a shorter one is an exit node's work.
const (
	shortest4 = 8
	shortest6 = 16
)

// checkSubnet says why a prefix can be no subnet route.
func (n *network) checkSubnet(p netip.Prefix) error {
	a := p.Addr()
	switch {
	case !p.IsValid() || a.Is4In6() || a.Zone() != "":
		return ipc.Errorf(ipc.CodeUsage, "that is no subnet")
	case p.Masked() != p:
		return ipc.Errorf(ipc.CodeUsage, "%s has bits beyond its length: it is %s", p, p.Masked())
	case a.Is4() && p.Bits() < shortest4 || a.Is6() && p.Bits() < shortest6:
		return ipc.Errorf(ipc.CodeUsage, "%s is too large for a subnet: an exit node is for the internet", p)
	case a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsUnspecified():
		return ipc.Errorf(ipc.CodeUsage, "%s leads to no other device", p)
	}
	for _, o := range n.e.nets {
		for _, own := range overlay(o.id) {
			if own.Overlaps(p) {
				return ipc.Errorf(ipc.CodeUsage, "%s holds addresses of the network %s", p, o.alias)
			}
		}
	}
	return nil
}

// via is a member that leads to a subnet.
type via struct {
	key     key.Public
	online  bool
	silent  bool // though online, nothing comes back
	fresh   bool // it has answered a moment ago
	lost    bool // it has said that it goes, or was sought in vain
	latency time.Duration
}

// rank is how far a member is to be trusted with a subnet. A higher one is better.
func (v via) rank() int {
	switch {
	case !v.online:
		return 0
	case v.silent:
		return 1
	}
	return 2
}

// Another router of a subnet is taken while the one in use works only where it is
// nearer by both.
const (
	viaNearer = 10 * time.Millisecond
	viaFactor = 3 // thirds: under two of three
)

// While a router in use is silent, the others are asked so often, and may take
// over if they have answered in that time.
const (
	viaLook  = 150 * time.Millisecond
	viaFresh = time.Second
)

// chooseVia is pure: who leads to a subnet, zero for nobody. What works is kept,
// and what is silent until another is known to work: it may be our own uplink
// that is gone, and connections do not outlive a change.
func chooseVia(current key.Public, all []via) key.Public {
	if len(all) == 0 {
		return key.Public{}
	}
	order := func(a, b via) int {
		return cmp.Or(cmp.Compare(b.rank(), a.rank()), cmp.Compare(a.latency, b.latency), bytes.Compare(a.key[:], b.key[:]))
	}
	best := slices.MinFunc(all, order)
	i := slices.IndexFunc(all, func(v via) bool { return v.key == current })
	if i < 0 {
		return best.key
	}
	switch now := all[i]; {
	case !now.online:
		return best.key
	case now.silent:
		if others := slices.DeleteFunc(slices.Clone(all), func(v via) bool { return !v.fresh || v.rank() < 2 }); len(others) > 0 {
			return slices.MinFunc(others, order).key
		}
	case now.latency-best.latency >= viaNearer && best.latency*viaFactor < now.latency*(viaFactor-1):
		return best.key
	}
	return current
}

// leadsTo tells whether a member is the way to a subnet: an admin or the
// policy has agreed, and it says so itself as far as it has been heard.
func (n *network) leadsTo(m *roster.Member, p netip.Prefix) bool {
	l, heard := n.learnt[m.Key]
	offers := slices.Contains(l.Routes, p)
	return slices.Contains(m.Routes, p) && (!heard || l.Seq == 0 || offers) || offers && n.routeApproved(m, p)
}

// checkVias chooses who leads to each accepted subnet. It tells whether anything
// changed.
func (n *network) checkVias() bool {
	on := n.on
	paths := map[key.Public]wire.PeerStatus{}
	if len(n.set.Accept) > 0 {
		for _, p := range on.wire.Status() {
			paths[p.ID] = p
		}
	}
	var ways []way
	clash, after := "", time.Duration(0)
	for _, p := range n.set.Accept {
		if with := n.e.conflict(p); with != "" {
			clash = cmp.Or(clash, p.String()+" "+with)
			continue
		}
		var all []via
		for _, m := range n.book.View().Members {
			if m.Key == n.self || expired(m, time.Now()) || !n.leadsTo(m, p) {
				continue
			}
			st, gone := paths[m.Key], n.learnt[m.Key].Gone
			all = append(all, via{
				key: m.Key, online: st.Path.Kind != wire.None && !gone, silent: st.Path.Silent,
				fresh: time.Since(st.Answered) < viaFresh, lost: gone || on.lost(m.Key), latency: st.Path.RTT,
			})
		}
		k := chooseVia(on.vias[p], all)
		if k.IsZero() {
			continue
		}
		chosen := all[slices.IndexFunc(all, func(v via) bool { return v.key == k })]
		ways = append(ways, way{p, chosen})
		if paths[k].Path.Silent && len(all) > 1 {
			after = viaLook
			on.askVias(k, all)
		}
	}
	slices.SortStableFunc(ways, func(a, b way) int { return cmp.Compare(a.prefix.Bits(), b.prefix.Bits()) })
	vias, again := on.leave(ways)
	if after == 0 {
		after = again
	}
	on.lookAtVias(after)
	subnet, with, _ := strings.Cut(clash, " ")
	n.raise(clash != "", ipc.HealthRouteConflict, map[string]string{"route": subnet, "with": with})
	if maps.Equal(vias, on.vias) {
		return false
	}
	on.vias = vias
	return true
}

// askVias pings those that could take the place of a router that is silent.
func (on *live) askVias(silent key.Public, all []via) {
	for _, v := range all {
		if v.key != silent && v.online {
			on.wire.Probe(v.key)
		}
	}
}

// lookAtVias chooses again after some time; 0: not for that reason.
func (on *live) lookAtVias(after time.Duration) {
	if on.looking != nil {
		on.looking.Stop()
		on.looking = nil
	}
	if after == 0 {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(after, func() {
		on.n.e.post(func() {
			if on.looking != t {
				return
			}
			on.looking = nil
			if on.n.on == on && on.n.checkVias() {
				on.n.refreshSoon()
			}
		})
	})
	on.looking = t
}

// behind is the accepted subnets that each member leads to.
func (on *live) behind() map[key.Public][]netip.Prefix {
	out := map[key.Public][]netip.Prefix{}
	for _, p := range sortedPrefixes(on.vias) {
		out[on.vias[p]] = append(out[on.vias[p]], p)
	}
	return out
}

func sortedPrefixes[T any](m map[netip.Prefix]T) []netip.Prefix {
	return slices.SortedFunc(maps.Keys(m), netip.Prefix.Compare)
}

// conflict names the connected network that a subnet lies in, "" for none: such a
// subnet is never taken from it.
func (e *Engine) conflict(p netip.Prefix) string {
	return conflictIn(p, e.foreign())
}

func conflictIn(p netip.Prefix, ifaces []netmon.Interface) string {
	for _, i := range ifaces {
		for _, q := range i.Prefixes {
			if i.Up && q.Bits() <= p.Bits() && q.Masked().Contains(p.Addr()) && !q.Addr().IsLoopback() {
				return i.Name
			}
		}
	}
	return ""
}

// routeStatus lists the subnets behind devices.
func (n *network) routeStatus() []ipc.Route {
	var out []ipc.Route
	now := time.Now()
	for _, o := range n.set.Routes {
		me := n.me()
		out = append(out, ipc.Route{
			Prefix: o.Prefix, Device: n.selfName(), Own: true, SNAT: !o.NoSNAT,
			Approved: me != nil && n.routeApproved(me, o.Prefix),
			Active:   n.on != nil && me != nil && n.routeApproved(me, o.Prefix),
		})
	}
	for _, m := range n.book.View().Members {
		if m.Key == n.self || expired(m, now) {
			continue
		}
		list := slices.Clone(m.Routes)
		for _, p := range n.learnt[m.Key].Routes {
			if !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
		for _, p := range list {
			r := ipc.Route{Prefix: p, Device: m.Name, Approved: n.routeApproved(m, p), Accepted: slices.Contains(n.set.Accept, p)}
			if r.Approved && !n.leadsTo(m, p) {
				continue // an admin's word for what is not offered any more
			}
			r.Active = n.on != nil && n.on.vias[p] == m.Key
			if with := n.e.conflict(p); with != "" {
				r.Conflict = &with
			}
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b ipc.Route) int {
		return cmp.Or(a.Prefix.Compare(b.Prefix), cmp.Compare(a.Device, b.Device))
	})
	return out
}

func (n *network) selfName() string {
	if m := n.me(); m != nil {
		return m.Name
	}
	return n.set.Device
}
