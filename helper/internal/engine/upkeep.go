package engine

import (
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// When what nobody needs any more is thrown away.
const (
	upkeepFirst = 10 * time.Minute
	upkeepEvery = 24 * time.Hour
)

// armUpkeep sets the timer for the next round.
func (e *Engine) armUpkeep(after time.Duration) {
	e.upkeep = time.AfterFunc(after, func() {
		e.post(func() {
			if e.stopping {
				return
			}
			for _, n := range e.nets {
				e.background(n.prune)
			}
			e.armUpkeep(upkeepEvery)
		})
	})
}

// prune drops the records that have been cut for long enough, and what is kept
// of invites and devices that are no more. It runs off the actor.
func (n *network) prune() {
	st := n.e.cfg.Store
	if gone := n.book.Prune(time.Now(), n.self); len(gone) > 0 {
		ids := make([][32]byte, len(gone))
		for i, id := range gone {
			ids[i] = id
		}
		if err := st.RemoveRecords(n.id, ids...); err != nil {
			n.e.log.Warn("drop records that were cut", "network", n.alias, "err", err)
		}
	}
	v := n.book.View()
	var peers []key.Public
	if all, err := st.Peers(n.id); err == nil {
		for _, p := range all {
			if v.Member(p.Key) == nil {
				peers = append(peers, p.Key)
			}
		}
	}
	if len(peers) > 0 {
		if err := st.RemovePeers(n.id, peers...); err != nil {
			n.e.log.Warn("forget devices that are gone", "network", n.alias, "err", err)
		}
	}
	n.pruneUses(v)
}

// pruneUses forgets who used an invite that no record tells of any more.
func (n *network) pruneUses(v *roster.View) {
	uses, err := n.e.cfg.Store.InviteUses(n.id)
	if err != nil {
		return
	}
	var gone [][32]byte
	for _, u := range uses {
		if _, held := v.Explain(u.Invite); !held && !slices.Contains(gone, u.Invite) {
			gone = append(gone, u.Invite)
		}
	}
	if len(gone) == 0 {
		return
	}
	if err := n.e.cfg.Store.RemoveInviteUses(n.id, gone...); err != nil {
		n.e.log.Warn("forget invites that are gone", "network", n.alias, "err", err)
	}
}

// forgetStrangers drops what was heard of devices that are no members any more.
func (n *network) forgetStrangers() {
	v := n.book.View()
	for k := range n.learnt {
		if v.Member(k) == nil {
			delete(n.learnt, k)
			delete(n.e.offsets, k)
		}
	}
}

// arm sets the timer for the next admission that ends.
func (n *network) arm() {
	if n.expiry != nil {
		n.expiry.Stop()
	}
	var next time.Time
	now := time.Now()
	sooner := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, m := range n.book.View().Members {
		switch {
		case m.Expires.IsZero():
		case m.Key == n.self:
			sooner(m.Expires.Add(time.Second - expiryTold))
			fallthrough
		default:
			sooner(m.Expires.Add(grace + time.Second))
		}
	}
	if end := n.nextGuestEnd(now); !end.IsZero() {
		sooner(end)
	}
	if !next.IsZero() {
		n.expiry = time.AfterFunc(next.Sub(now), func() { n.e.post(n.refresh) })
	}
}
