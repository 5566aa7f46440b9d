package engine

import (
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// tryingFor is how long a path that is not direct may yet become so before it is
// said why not.
const tryingFor = 3 * time.Second

// situation is all that why looks at.
type situation struct {
	peer  wire.PeerStatus
	net   wire.NetReport
	there replica.NAT // as the peer says
	now   time.Time
}

// why is why a peer is not reached directly, "" where it is or where there is
// nothing to tell.
func (s situation) why() ipc.WhyNot {
	p := s.peer
	none := p.Path.Kind == wire.None
	switch {
	case p.Path.Kind >= wire.Direct:
		return ""
	case none && p.Reason == wire.Idle:
		return ipc.WhyIdle
	case !none && s.now.Sub(p.Path.Since) < tryingFor:
		return ipc.WhyTrying
	case noUDP(s.net):
		return ipc.WhyNoUDP
	case s.there == replica.NATBlocked:
		return ipc.WhyNoUDPThere
	case len(p.Candidates) == 0:
		return ipc.WhyNoAddress
	case !s.commonFamily():
		return ipc.WhyNoFamily
	}
	here := s.net.IPv4.NAT == wire.NATHard && s.net.IPv6.NAT != wire.NATNone
	there := s.there == replica.NATHard
	switch {
	case here && there:
		return ipc.WhyHardBoth
	case here:
		return ipc.WhyHardNAT
	case there:
		return ipc.WhyHardThere
	}
	return ipc.WhySilent
}

// commonFamily tells whether an address of the peer is of a family that this
// host has; link-local ones lead nowhere but on a link.
func (s situation) commonFamily() bool {
	if !s.net.IPv4.Has && !s.net.IPv6.Has {
		return true // not known
	}
	return slices.ContainsFunc(s.peer.Candidates, func(a netip.AddrPort) bool {
		if a.Addr().IsLinkLocalUnicast() {
			return false
		}
		return a.Addr().Is4() && s.net.IPv4.Has || a.Addr().Is6() && s.net.IPv6.Has
	})
}
