package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"kith.internal/dns/stub"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/tunnel"
)

// listenForNames has the stub listen on this device's overlay addresses. Where
// another resolver holds port 53 of every address, it answers inside the TUNs
// besides, at addresses that are nobody's.
func (e *Engine) listenForNames() {
	own := e.ownAddrs()
	err := e.stub.SetAddrs(append(own, e.insideAddrs()...))
	if want := e.wantInside(); !slices.Equal(want, e.inside.get()) {
		// A TUN that was made anew needs its socket anew.
		e.inside.set(nil)
		e.stub.SetAddrs(own)
		e.inside.set(want)
		err = e.stub.SetAddrs(append(own, e.insideAddrs()...))
	}
	if err != nil {
		e.log.Debug("the stub does not answer everywhere yet", "err", err)
	}
}

// wantInside is where the stub has to answer inside the TUNs, and in which. One
// protocol that another holds is enough: dnsmasq shares UDP, but not TCP.
func (e *Engine) wantInside() []insideAddr {
	taken := map[netip.Addr]bool{}
	for _, s := range e.stub.Status() {
		if errors.Is(s.Err, syscall.EADDRINUSE) {
			taken[s.Addr.Addr()] = true
		}
	}
	var out []insideAddr
	for _, n := range e.nets {
		if n.on == nil || n.on.inside == nil {
			continue
		}
		for _, a := range n.on.addrs() {
			if taken[a] {
				out = append(out, insideAddr{n.insideFor(a), n.on.inside})
			}
		}
	}
	return out
}

// insideFor is the address for the family of own: no member has it, since its
// bits are no hash, or its index is never given out.
func (n *network) insideFor(own netip.Addr) netip.Addr {
	if own.Is4() {
		a := roster.Range4(n.id).Addr().As4()
		a[2], a[3] = 255, 255
		return netip.AddrFrom4(a)
	}
	a := roster.Prefix6(n.id).Addr().As16()
	a[15] = 53
	return netip.AddrFrom16(a)
}

func (e *Engine) insideAddrs() []netip.Addr { return e.inside.used() }

// resolver is where this network's names are answered, the first of its
// addresses unless another program holds it.
func (n *network) resolver() netip.Addr {
	own := n.on.addrs()
	if len(own) == 0 {
		return netip.Addr{}
	}
	if in := n.insideFor(own[0]); slices.Contains(n.e.insideAddrs(), in) {
		return in
	}
	return own[0]
}

// insideAddr is an address inside a TUN.
type insideAddr struct {
	addr netip.Addr
	in   *tunnel.Inside
}

// insides is where the stub answers inside the TUNs. The stub asks it from its
// own goroutines.
type insides struct {
	mu   sync.Mutex
	list []insideAddr
}

func (s *insides) set(list []insideAddr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
}

func (s *insides) get() []insideAddr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

func (s *insides) used() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []netip.Addr
	for _, a := range s.list {
		out = append(out, a.addr)
	}
	return out
}

// find is the TUN that has an address inside; nil for none.
func (s *insides) find(a netip.Addr) *tunnel.Inside {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.list {
		if i.addr == a {
			return i.in
		}
	}
	return nil
}

// around takes the addresses inside from TUNs, all others from the system.
func (s *insides) around(system stub.Sockets) stub.Sockets {
	if system == nil {
		system = stub.System
	}
	return insideSockets{system, s}
}

type insideSockets struct {
	stub.Sockets
	inside *insides
}

func (s insideSockets) ListenUDP(ctx context.Context, at netip.AddrPort) (stub.PacketConn, error) {
	if in := s.inside.find(at.Addr()); in != nil {
		return in.ListenUDP(at)
	}
	return s.Sockets.ListenUDP(ctx, at)
}

func (s insideSockets) ListenTCP(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	if in := s.inside.find(at.Addr()); in != nil {
		return in.ListenTCP(at)
	}
	return s.Sockets.ListenTCP(ctx, at)
}
