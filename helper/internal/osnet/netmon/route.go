package netmon

import "net/netip"

// Route is one unicast route of the host, of any routing table but the one of
// its own addresses.
type Route struct {
	Prefix  netip.Prefix // masked; a default route has no bits
	Index   int          // of the interface; 0 for none
	Gateway netip.Addr   // invalid for none
	Metric  int
	Table   int // Linux's routing table (254: main), else 0
	// Scoped tells of a route that serves only sockets which are bound to its
	// interface: macOS has one for each uplink that is not the first.
	Scoped bool
}

// IsDefault tells whether the route is a default route.
func (r Route) IsDefault() bool { return r.Prefix.Bits() == 0 }
