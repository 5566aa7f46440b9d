package wire

import (
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

const (
	maxChains = 8 // candidates of a peer
	hopFor    = 90 * time.Second

	hopSettles = 5 * time.Millisecond
)

// SetChains sets over whom a peer may be reached, the best first: at most eight
// chains of one to three peers each.
func (w *Wire) SetChains(id key.Public, chains [][]key.Public) {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.dir.Load()
	p := d.byID[id]
	if p == nil || p.shared || w.closed {
		return
	}
	var set []chain
	for _, ids := range chains {
		if c, ok := d.chain(ids, p); ok && len(set) < maxChains && !slices.Contains(set, c) {
			set = append(set, c)
		}
	}
	if slices.Equal(set, p.chains) {
		return
	}
	fresh := slices.ContainsFunc(set, func(c chain) bool { return !slices.Contains(p.chains, c) })
	p.chains = set
	now := time.Now()
	if c := p.c; fresh && c != nil && c.seeking(now) && p.helpless() {
		p.again(now)
	}
}

// chain is the way over the peers to p.
func (d *directory) chain(ids []key.Public, p *peer) (c chain, ok bool) {
	if len(ids) == 0 || len(ids) > maxHops {
		return c, false
	}
	for i, id := range ids {
		hop := d.byID[id]
		if hop == nil || hop.shared || hop == p {
			return c, false
		}
		c[i] = hop.tag
	}
	c[len(ids)] = p.tag
	f := c.frame(p.wire.tag)
	return c, !f.loops()
}

// helpless tells that the peer has no sound path of its own.
func (p *peer) helpless() bool {
	near := p.c.paths.near
	return near == nil || near.health == doubted
}

// seekHops has the first hops of the peer's chains sought.
func (p *peer) seekHops(now time.Time) {
	for i := range p.chains {
		hop := p.wire.dir.Load().byTag[p.chains[i][0]]
		if hop == nil {
			continue
		}
		c := hop.contact()
		fresh := !c.seeking(now)
		c.hopTill = now.Add(hopFor)
		if fresh && hop.helpless() {
			hop.again(now)
		}
	}
}

// hopFound tries the chains that begin with the peer: it has a path now. Our
// answer to its own question must get there first, or it would not know us.
func (p *peer) hopFound(now time.Time) {
	p.wire.eachContact(func(q *peer) {
		if q.c.seeking(now) && (q.helpless() || q.c.isActive(now)) && slices.ContainsFunc(q.chains, func(c chain) bool { return c[0] == p.tag }) {
			q.c.nextRound = now.Add(hopSettles)
			if q.helpless() {
				q.c.round = 0
			}
			p.wire.soon(q, now)
		}
	})
}

// hopLost doubts the paths that begin with the peer: it has no path any more.
func (p *peer) hopLost(now time.Time) {
	p.wire.eachContact(func(q *peer) {
		for _, path := range q.c.paths.all {
			if path.chain[0] == p.tag && path.health == sound {
				path.doubt(now)
				p.wire.soon(q, now)
			}
		}
	})
}

// names gives the peers that a chain goes over.
func (w *Wire) names(c *chain) (ids []key.Public) {
	for _, hop := range c.hops() {
		if p := w.dir.Load().byTag[hop]; p != nil {
			ids = append(ids, p.id)
		} else {
			ids = append(ids, key.Public{})
		}
	}
	return ids
}
