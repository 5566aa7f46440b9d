// Package bypass lets this process's own sockets reach the internet while all
// else goes through an exit node: the wire, relays, gateways. It owns the marks
// by which package egress knows such packets, and imports nothing of ours.
//
// Linux marks the socket (SO_MARK), which policy routing and the leak guard
// read. Windows and macOS bind it to the uplink (IP_UNICAST_IF, IP_BOUND_IF)
// while SetUplink names one. What the process asks on behalf of others, as the
// DNS forwarder does, goes through the exit and must not use this package.
package bypass

// Marks of packets on Linux. The upper byte is Kith's; the lower 16 bits are
// left to others.
const (
	// Mark is on what our own sockets send: it is routed as if there were no
	// exit node, and passes the leak guard.
	Mark uint32 = 0x6b01_0000
	// Inbound is on what came in from elsewhere for this host, so that the
	// kernel looks for its way back (rp_filter) where it came from. It does not
	// pass the leak guard.
	Inbound uint32 = 0x6b02_0000
	// Mask covers Mark and Inbound, RouteMask what both have in common.
	Mask      uint32 = 0xffff_0000
	RouteMask uint32 = 0xff00_0000
	Route     uint32 = 0x6b00_0000
)
