// Package discover finds devices of our networks on the LANs that the host is
// attached to, by announcements that only holders of a network's secret can
// read or link. What it hears is a hint where to knock, never trusted. It must
// not import the engine, the roster or the wire.
package discover

import (
	"net/netip"

	"kith.internal/helper/internal/osnet/netmon"
)

// Port is the UDP port of announcements. It lies below the range that networks
// draw their own ports from.
const Port = 18743

// The groups of announcements: locally scoped (RFC 2365 §6.1), and link-local
// and not assigned by IANA (RFC 4291 §2.7). Both stay on the link.
var (
	Group4 = netip.AddrFrom4([4]byte{239, 255, 'K', 'i'})
	Group6 = netip.AddrFrom16([16]byte{0: 0xff, 1: 0x12, 12: 'K', 13: 'i', 14: 't', 15: 'h'})
)

// Multicast is the host's multicast on all its links.
type Multicast interface {
	// Join makes these the interfaces that are listened and sent on. It does as
	// much of it as works; the error says all that does not.
	Join(ifaces []netmon.Interface) error
	// Send sends b to both groups, as far as the interface has addresses of
	// their families.
	Send(b []byte, ifindex int) error
	// Read waits for a datagram; it fails with net.ErrClosed after Close alone.
	// A link-local source has its zone as udp.WithIndex spells it; ifindex is 0
	// where the system does not tell. What the host itself sent is heard too.
	Read(b []byte) (n int, from netip.AddrPort, ifindex int, err error)
	Close() error
}

// Group is a secret that holders announce themselves under: an epoch of a
// network, or an invite.
type Group struct {
	Secret [32]byte
	Speak  bool        // announce, or listen alone
	Port   uint16      // of our wire, to announce
	ID     [8]byte     // who we are there
	Handle func(Heard) // called one at a time; must neither block nor call the Announcer
}

// Heard is an announcement of another device.
type Heard struct {
	From  netip.AddrPort // its address, and the port that it announced
	ID    [8]byte
	Query bool // it asks to be pinged
}
