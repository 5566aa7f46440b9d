// Package netmon tells which network interfaces, addresses and default routes
// the host has, and when they change. It imports nothing of ours.
package netmon

import "net/netip"

// Interface is one network interface of the host.
type Interface struct {
	Index        int
	Name         string
	MTU          int
	Up           bool // administratively up and with carrier
	Multicast    bool
	PointToPoint bool // no link-layer broadcast: a TUN, PPP
	Loopback     bool
	// Prefixes are the interface's addresses with their prefix lengths,
	// link-local ones included, without zone.
	Prefixes []netip.Prefix
}

// State is what the host's network looks like at one time.
type State struct {
	Interfaces []Interface // sorted by index
	Default4   int         // index of the interface that holds the IPv4 default route, 0 for none
	Default6   int
}
