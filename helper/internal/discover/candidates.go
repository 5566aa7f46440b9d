package discover

import (
	"net/netip"
	"slices"

	"kith.internal/helper/internal/osnet/netmon"
)

// LocalCandidates is the addresses at which others may find our port, the best
// first: link-local ones, which others try on each of their links and which
// therefore have no zone, then private, public and last those of other VPNs.
// Interfaces of which own says so are ours and are left out, lest our packets
// travel inside themselves.
func LocalCandidates(ifaces []netmon.Interface, port uint16, own func(netmon.Interface) bool) []netip.AddrPort {
	var classes [4][]netip.AddrPort
	for _, i := range ifaces {
		if !i.Up || i.Loopback || own(i) {
			continue
		}
		for _, p := range i.Prefixes {
			if class := class(i, p.Addr()); class >= 0 {
				classes[class] = append(classes[class], netip.AddrPortFrom(p.Addr().WithZone(""), port))
			}
		}
	}
	var out []netip.AddrPort
	for _, c := range slices.Concat(classes[:]...) {
		if !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// class is where in the order of candidates an address belongs; -1 is nowhere.
func class(i netmon.Interface, a netip.Addr) int {
	switch {
	case !a.IsGlobalUnicast() && !a.IsLinkLocalUnicast():
		return -1
	case i.PointToPoint && a.IsLinkLocalUnicast():
		return -1
	case i.PointToPoint:
		return 3
	case a.IsLinkLocalUnicast():
		return 0
	case a.IsPrivate():
		return 1
	}
	return 2
}
