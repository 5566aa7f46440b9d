package wire

import (
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

// Reason says how a peer's path has come about, or why there is none.
type Reason uint8

const (
	Idle         Reason = iota // nobody has asked for it
	Confirmed                  // it has a path
	Doubtful                   // its path owes an answer
	NoCandidates               // it is sought, and no address of it is known
	Silent                     // it is sought, and no address of it answers
)

func (r Reason) String() string {
	return [...]string{"idle", "confirmed", "doubtful", "no candidates", "silent"}[r]
}

// PeerStatus is what the wire knows of a peer.
type PeerStatus struct {
	ID         key.Public
	Path       Path // of an idle peer: the last
	Reason     Reason
	LastHeard  time.Time // authenticated; zero: never
	Answered   time.Time // a ping on that path, last
	Active     bool      // traffic within the last 45 s
	Wanted     bool      // by us
	Wants      bool      // the peer does
	Configured bool      // by the peer, as it says
	Sessions   int
	Candidates []netip.AddrPort // the newest first
}

// Status is about all peers, in the order of their keys.
func (w *Wire) Status() []PeerStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	peers := w.dir.Load().byID
	out := make([]PeerStatus, 0, len(peers))
	for _, p := range peers {
		out = append(out, p.status(now))
	}
	slices.SortFunc(out, func(a, b PeerStatus) int { return slices.Compare(a.ID[:], b.ID[:]) })
	return out
}

// PeerStatus is about one peer; false if there is no such peer.
func (w *Wire) PeerStatus(id key.Public) (PeerStatus, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.dir.Load().byID[id]
	if p == nil {
		return PeerStatus{}, false
	}
	return p.status(time.Now()), true
}

func (p *peer) status(now time.Time) PeerStatus {
	s := PeerStatus{ID: p.id, Candidates: slices.Clone(p.given)}
	c := p.c
	if c == nil {
		return s
	}
	s.LastHeard = c.lastHeard
	s.Active = c.isActive(now)
	s.Wanted, s.Wants, s.Configured = c.want, c.word&flagWant != 0, c.word&flagHave != 0
	s.Sessions = len(c.sessions)
	for _, t := range c.told {
		if !slices.Contains(s.Candidates, t.addr) {
			s.Candidates = append(s.Candidates, t.addr)
		}
	}
	b := c.paths.best
	switch {
	case b != nil:
		s.Path = p.path(now)
		s.Reason, s.Answered = Confirmed, b.ponged
		if b.health == doubted {
			s.Reason = Doubtful
		}
	case !c.seeking(now) && !c.isActive(now):
	case len(s.Candidates) == 0 && len(p.chains) == 0 && len(c.links) == 0:
		s.Reason = NoCandidates
	default:
		s.Reason = Silent
	}
	return s
}

// path is the best path as others are told it.
func (p *peer) path(now time.Time) Path {
	b := p.c.paths.best
	if b == nil {
		return Path{}
	}
	out := Path{Kind: b.kind, Addr: b.addr, RTT: b.rtt, Since: p.c.since, MTU: b.mtu, Silent: p.c.paths.silent(now)}
	first := b.place
	if b.isChain() {
		out.Via = p.wire.names(&b.chain)
		out.MTU = 0
		if r := p.wire.firstHop(&b.chain); r != nil {
			first, out.Addr, out.MTU = r.to, r.to.addr, r.mtu-headLen(b.chain.len()+1)
		}
	}
	if _, ok := first.via.(*wireLink); ok {
		out.Transport = TLS
	}
	return out
}

// firstHop is how to send to a chain's first hop, nil if there is no way.
func (w *Wire) firstHop(c *chain) *route {
	if q := w.dir.Load().byTag[c[0]]; q != nil {
		return q.near.Load()
	}
	return nil
}
