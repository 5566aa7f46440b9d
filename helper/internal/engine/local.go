package engine

import (
	"net/netip"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

// local is the host's interfaces as a wire should know them: those of others as
// they are, and ours with the ranges that lead into them, whatever the system
// has told of them yet. Nothing in those is an endpoint: no path may run through
// a TUN of ours.
func (e *Engine) local() (ifaces []netmon.Interface, own map[int]bool) {
	ifaces, own = e.foreign(), e.ownInterfaces()
	for _, n := range e.nets {
		if n.on == nil || n.on.index == 0 {
			continue
		}
		i := netmon.Interface{Name: n.on.ifname, Index: n.on.index, Prefixes: []netip.Prefix{roster.Prefix6(n.id)}}
		if n.on.use4 {
			i.Prefixes = append(i.Prefixes, roster.Range4(n.id))
		}
		ifaces = append(ifaces, i)
	}
	for _, s := range e.stays() {
		ifaces = append(ifaces, netmon.Interface{Name: s.ifname, Index: s.index, Prefixes: s.ranges()})
	}
	return ifaces, own
}

// tellLocal tells every wire.
func (e *Engine) tellLocal() {
	ifaces, own := e.local()
	for _, n := range e.nets {
		if n.on != nil {
			n.on.wire.SetLocal(ifaces, own)
		}
	}
	for _, j := range e.joins {
		j.wire.SetLocal(ifaces, own)
	}
	for _, s := range e.stays() {
		s.wire.SetLocal(ifaces, own)
		for _, d := range s.doors {
			d.wire.SetLocal(ifaces, own)
		}
	}
}

// hasUplink tells whether a default route leads out by another interface than
// ours.
func (e *Engine) hasUplink() bool {
	own := e.ownInterfaces()
	leads := func(index int) bool { return index != 0 && !own[index] }
	return leads(e.host.Default4) || leads(e.host.Default6) || len(e.uplinks()) > 0
}

// checkUplink says when there is no network at all to work with, or none that
// leads further.
func (e *Engine) checkUplink() {
	up4, up6 := e.families()
	if up4 || up6 || len(e.nets) == 0 {
		e.health.Clear(ipc.HealthNoNetwork, "")
	} else {
		e.warn(ipc.HealthNoNetwork, "", nil)
	}
	if e.hasUplink() || len(e.nets) == 0 {
		e.health.Clear(ipc.HealthLANOnly, "")
	} else {
		e.warn(ipc.HealthLANOnly, "", nil)
	}
}
