package stun

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Answer is what one server said.
type Answer struct {
	Server netip.AddrPort
	Mapped netip.AddrPort // by which it saw us
	RTT    time.Duration
}

// Lie is an answer that cannot be true, or that the others contradict.
type Lie struct {
	Answer
	Err error
}

// Errors of Lie.
var (
	ErrImplausible = errors.New("names an address that cannot be ours")
	ErrDisagrees   = errors.New("contradicts the other servers")
)

// shared is RFC 6598's range for carriers' NATs.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// Plausible tells why an answer's address cannot be the one that its server
// saw: nil if it can. never are prefixes that no address of ours is seen by,
// such as those of our own tunnels.
func Plausible(a Answer, never []netip.Prefix) error {
	m, s := a.Mapped.Addr(), a.Server.Addr().Unmap()
	switch {
	case !m.IsValid() || a.Mapped.Port() == 0 || m.IsUnspecified() || m.IsLoopback() || m.IsMulticast() || m.Is4() && m.As4()[0] >= 240:
		return fmt.Errorf("%w: %v is no unicast address", ErrImplausible, a.Mapped)
	case m.Is4() != s.Is4():
		return fmt.Errorf("%w: %v is of the other family", ErrImplausible, m)
	case m == s.WithZone(""):
		return fmt.Errorf("%w: %v is its own", ErrImplausible, m)
	case m.IsLinkLocalUnicast() && !s.IsLinkLocalUnicast():
		return fmt.Errorf("%w: %v is of a link that it is not on", ErrImplausible, m)
	case inside(m) && !inside(s) && !s.IsLinkLocalUnicast():
		return fmt.Errorf("%w: %v is no public address", ErrImplausible, m)
	case slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(m) }):
		return fmt.Errorf("%w: %v is a tunnel's", ErrImplausible, m)
	}
	return nil
}

// inside tells whether an address is one that a server on the internet does
// not see.
func inside(a netip.Addr) bool { return a.IsPrivate() || shared.Contains(a) }

// Judge parts what can be believed from what cannot. Of servers that see us
// from one kind of place, a lone one that contradicts two others that agree is
// not believed; the port may differ, as behind a hard NAT it does.
func Judge(answers []Answer, never []netip.Prefix) (good []Answer, lies []Lie) {
	for _, a := range answers {
		if err := Plausible(a, never); err != nil {
			lies = append(lies, Lie{a, err})
		} else {
			good = append(good, a)
		}
	}
	seen := make(map[view]map[netip.Addr]bool, len(good)) // the servers, by what they saw
	most := make(map[view]int)                            // without address: the largest of a place
	for _, a := range good {
		v := viewOf(a)
		if seen[v] == nil {
			seen[v] = make(map[netip.Addr]bool)
		}
		seen[v][a.Server.Addr()] = true
		most[v.place()] = max(most[v.place()], len(seen[v]))
	}
	good = slices.DeleteFunc(good, func(a Answer) bool {
		v := viewOf(a)
		if m := most[v.place()]; len(seen[v]) == 1 && m >= 2 {
			lies = append(lies, Lie{a, fmt.Errorf("%w: %d saw us otherwise than by %v", ErrDisagrees, m, v.mapped)})
			return true
		}
		return false
	})
	return good, lies
}

// view is what servers of one kind of place see: those behind our carrier's
// NAT see another address than those on the internet.
type view struct {
	four, inside bool
	mapped       netip.Addr
}

func viewOf(a Answer) view {
	m := a.Mapped.Addr()
	return view{m.Is4(), inside(m), m}
}

func (v view) place() view { return view{four: v.four, inside: v.inside} }

// Kind is how a NAT picks the outside port of one socket of ours.
type Kind int

const (
	Unknown Kind = iota // too little was heard
	None                // seen by an address of our own
	Easy                // the same for all destinations (RFC 4787 §4.1: endpoint-independent)
	Hard                // another one for another destination
)

func (k Kind) String() string {
	switch k {
	case None:
		return "none"
	case Easy:
		return "easy"
	case Hard:
		return "hard"
	}
	return "unknown"
}

// NAT finds the kind of NAT that believed answers to requests of one socket
// and one family tell of. own are the host's addresses.
func NAT(good []Answer, own []netip.Addr) Kind {
	var first Answer
	kind := Unknown
	for _, a := range good {
		switch {
		case slices.Contains(own, a.Mapped.Addr()):
			return None
		case !first.Server.IsValid():
			first = a
		case a.Server == first.Server || inside(a.Mapped.Addr()) != inside(first.Mapped.Addr()):
		case a.Mapped != first.Mapped:
			return Hard
		default:
			kind = Easy
		}
	}
	return kind
}
