package router

import (
	"fmt"
	"net/netip"

	"kith.internal/helper/internal/osnet/netmon"
)

// minRoute is the shortest route that stands for somebody's network. Shorter
// ones are pieces of a default route that a VPN cut up so as to win over the
// host's own.
const minRoute = 8

// Conflict4 tells whether a network's IPv4 range meets what the host has
// already: the connected range of another interface, up or not, or a route of
// another VPN. own tells our own interfaces. with names what was met, for
// people: "192.0.2.0/24 on eth0".
func Conflict4(prefix netip.Prefix, interfaces []netmon.Interface, routes []netmon.Route, own func(index int) bool) (with string, conflict bool) {
	names := make(map[int]string, len(interfaces))
	for _, i := range interfaces {
		names[i.Index] = i.Name
		if own(i.Index) {
			continue
		}
		for _, p := range i.Prefixes {
			if p.Addr().Is4() && p.Overlaps(prefix) {
				return fmt.Sprintf("%s on %s", p.Masked(), i.Name), true
			}
		}
	}
	for _, r := range routes {
		if own(r.Index) || r.Index == 0 || !r.Prefix.Addr().Is4() || r.Prefix.Bits() < minRoute || !r.Prefix.Overlaps(prefix) {
			continue
		}
		name, ok := names[r.Index]
		if !ok {
			name = fmt.Sprintf("interface %d", r.Index)
		}
		return fmt.Sprintf("route %s into %s", r.Prefix, name), true
	}
	return "", false
}
