package engine

import (
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/store"
)

// endpointsKept is how many addresses of a member are remembered: where it
// answered last, and before.
const endpointsKept = 4

// cachedFor is how long the same address need not be written again: each write is
// a sync of the disk.
const cachedFor = 5 * time.Minute

// learnCached gives the wire what the store remembers of the members.
func (n *network) learnCached() {
	peers, err := n.e.cfg.Store.Peers(n.id)
	if err != nil {
		n.e.log.Warn("read the cache of paths", "network", n.alias, "err", err)
	}
	raws, err := n.e.cfg.Store.Presences(n.id)
	if err != nil {
		n.e.log.Warn("read the cache of presence", "network", n.alias, "err", err)
	}
	d := n.decide()
	n.on.wire.SetPeers(d.wire)
	// Before anything dials: what answered last is tried first.
	for _, p := range peers {
		n.on.saved[p.Key] = p.Endpoints
		var addrs []netip.AddrPort
		for _, ep := range p.Endpoints {
			addrs = append(addrs, ep.Addr)
		}
		n.on.wire.AddCandidates(p.Key, addrs...)
	}
	n.on.replica.SetMembers(d.members, d.removed)
	for _, r := range raws {
		n.on.replica.Hear([][]byte{r.Raw}, key.Public{})
	}
	n.sayPresence()
}

// savePath remembers where a member was reached without help.
func (on *live) savePath(id key.Public, addr netip.AddrPort) {
	now := time.Now()
	old := on.saved[id]
	if len(old) > 0 && old[0].Addr == addr && now.Sub(old[0].Confirmed) < cachedFor {
		return
	}
	if on.n.book.View().Member(id) == nil {
		return
	}
	next := append([]store.Endpoint{{Addr: addr, Confirmed: now}},
		slices.DeleteFunc(slices.Clone(old), func(e store.Endpoint) bool { return e.Addr == addr })...)
	next = next[:min(len(next), endpointsKept)]
	on.saved[id] = next
	p := store.Peer{Key: id, Endpoints: next}
	on.n.e.background(func() {
		if err := on.n.e.cfg.Store.PutPeers(on.n.id, p); err != nil {
			on.log.Debug("cache a path", "err", err)
		}
	})
}

// savePresence remembers what the members said, for the next start.
func (on *live) savePresence() {
	if on.replica == nil {
		return
	}
	if err := on.n.e.cfg.Store.PutPresence(on.n.id, on.replica.Stored()...); err != nil {
		on.log.Debug("cache presence", "err", err)
	}
}
