package wire

import (
	"maps"

	"kith.internal/helper/internal/key"
)

// directory finds peers. It is replaced whole when the set of peers changes.
type directory struct {
	byID   map[key.Public]*peer
	byTag  map[tag]*peer // as nodes
	bySeal map[tag]*peer // by their control keys
	// Those with a shared key, and those with the relay role in the order of
	// their keys.
	shared, relays []*peer
}

// owner says whose a confirmed place is.
type owner struct {
	p     *peer
	count counter // WireGuard packets from the place, initiations left out

	frames counter
}

// add counts packets; a nil owner's count is nobody's.
func (o *owner) add(packets uint64) {
	if o != nil {
		o.count.n.Add(packets)
	}
}

// owners is replaced whole when a path comes or goes, which is seldom: the
// packet path reads it without a lock.
type owners map[place]*owner

// came is what has come from the place.
func (o *owner) came() uint64 { return o.count.n.Load() + o.frames.n.Load() }

// own makes the place the peer's. Callers hold Wire.mu.
func (w *Wire) own(from place, p *peer) *owner {
	old := *w.owners.Load()
	if o := old[from]; o != nil && o.p == p {
		return o
	}
	if o := old[from]; o != nil {
		// A NAT has given the address to someone else.
		if q := o.p.c.paths.at(from); q != nil {
			o.p.c.paths.remove(q)
			w.soon(o.p, q.ponged)
		}
	}
	next := maps.Clone(old)
	o := &owner{p: p}
	next[from] = o
	w.owners.Store(&next)
	return o
}

// disown forgets that the place is the peer's. Callers hold Wire.mu.
func (w *Wire) disown(from place, p *peer) {
	old := *w.owners.Load()
	if o := old[from]; o == nil || o.p != p {
		return
	}
	next := maps.Clone(old)
	delete(next, from)
	w.owners.Store(&next)
}
