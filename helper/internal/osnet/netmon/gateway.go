package netmon

import (
	"cmp"
	"net/netip"
	"slices"
)

// Gateway is a router that a default route of an interface leads to.
type Gateway struct {
	Index  int        // of the interface
	Addr   netip.Addr // without zone; usually link-local in IPv6
	Metric int
}

// tableMain is Linux's routing table of that name; others have the one, 0.
const tableMain = 254

// Gateways finds the gateways of interfaces that are up: the best of each
// interface and family, and of these the best first. Also interfaces that do
// not hold the default route at present have theirs here.
func Gateways(interfaces []Interface, routes []Route) []Gateway {
	type way struct {
		index int
		four  bool
	}
	up := make(map[int]bool, len(interfaces))
	for _, i := range interfaces {
		up[i.Index] = i.Up && !i.Loopback
	}
	routes = slices.Clone(routes)
	slices.SortStableFunc(routes, func(a, b Route) int { return cmp.Compare(a.order(), b.order()) })
	var out []Gateway
	had := make(map[way]bool)
	for _, r := range routes {
		w := way{r.Index, r.Gateway.Is4()}
		if !r.IsDefault() || !r.Gateway.IsValid() || r.Table != 0 && r.Table != tableMain || !up[r.Index] || had[w] {
			continue
		}
		had[w] = true
		out = append(out, Gateway{Index: r.Index, Addr: r.Gateway.WithZone(""), Metric: r.Metric})
	}
	return out
}

// order is by metric, and what serves only sockets that ask for it comes last.
func (r Route) order() int64 {
	if r.Scoped {
		return 1<<32 + int64(r.Metric)
	}
	return int64(r.Metric)
}
