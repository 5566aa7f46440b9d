package wire

import (
	"net/netip"
	"time"

	"kith.internal/helper/internal/key"
)

// NAT is what stands between us and others.
type NAT uint8

const (
	NATUnknown NAT = iota
	NATNone        // they see our own address
	NATEasy        // all see one address and port
	NATHard        // each sees another port
)

func (n NAT) String() string { return [...]string{"unknown", "none", "easy", "hard"}[n] }

// NetReport is what the wire has found out about the network that it is on.
type NetReport struct {
	UDP        bool // datagrams come in
	IPv4, IPv6 FamilyReport
	Mapped     []netip.AddrPort // by port mapping
	Hairpin    bool             // a datagram to our own outside address came back
	Relays     []RelayReport
	Forwarding Forwarding
	Forwarded  int64             // bytes within the last day, as the quota counts
	Drops      map[string]uint64 // what was not let in, by reason
	Complaints []Complaint
}

// FamilyReport is about one of IPv4 and IPv6.
type FamilyReport struct {
	Has      bool // the socket and an address
	NAT      NAT
	Observed []netip.AddrPort // as others see us
}

// RelayReport is about one relay.
type RelayReport struct {
	ID       key.Public
	Kept     bool
	UDP, TLS time.Duration // round trips; 0: no path
	Error    string        // why the last link failed
}

// Complaint names a peer, or a server, that does not do what it should.
type Complaint struct {
	ID     key.Public     // zero: not a peer
	Server netip.AddrPort // of STUN
	What   Misbehaviour
	Since  time.Time
}

// Misbehaviour is what one may complain of.
type Misbehaviour uint8

const (
	DropsPackets  Misbehaviour = iota + 1 // passes pings on, and not what is between them
	LiesOnAddress                         // says another address of ours than all others do
	BreaksFrames                          // passes on what was never sent so
)

func (m Misbehaviour) String() string {
	return [...]string{"", "drops packets", "lies on our address", "breaks frames"}[m]
}

// Net tells what the wire has found out.
func (w *Wire) Net() NetReport { return NetReport{} }

// MTU is the size of the largest IP packet that reaches the peer whole inside
// WireGuard, at least 1,280.
func (w *Wire) MTU(id key.Public) int { return minMTU }

// minMTU is what every path carries, in pieces if it must (RFC 8200 §5).
const minMTU = 1280
