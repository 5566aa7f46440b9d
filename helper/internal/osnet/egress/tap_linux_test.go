package egress

import (
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/netnstest"
)

// tap sees what the client's uplink carried.
type tap struct{ *netnstest.Tap }

// take gives what came since the last call.
func (tp tap) take() []string { return tp.Take(func(netnstest.Packet) bool { return true }) }

// leaks is what take gives, but for our own sockets' packets and what keeps the
// link alive.
func (tp tap) leaks() []string {
	return tp.Take(func(p netnstest.Packet) bool {
		return !p.Alive() && (p.Proto != unix.IPPROTO_UDP || p.Port != ownPort)
	})
}
