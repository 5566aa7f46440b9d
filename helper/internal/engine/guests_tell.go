package engine

import (
	"bytes"
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// tellSeen tells the admins of the owner's network who comes: they may not be
// what is shared.
func (n *network) tellSeen(g *visitor) {
	v := n.book.View()
	for id := range n.on.linked() {
		if m := v.Member(id); m != nil && m.Caps&roster.CapShare != 0 {
			n.say(id, note{Seen: &seenNote{Pass: g.Raw, At: g.Seen}})
		}
	}
}

// heardSeen notes who comes to another device of ours.
func (n *network) heardSeen(from key.Public, m *seenNote) {
	if n.book.View().Caps(n.self)&roster.CapShare == 0 {
		return
	}
	j := n.judge()
	p, s, err := j.Pass(m.Pass, key.Public{})
	if err != nil || !s.Has(n.book.View().Member(from)) && s.Sponsor != from {
		return
	}
	if g, _, err := n.takeSeen(m.Pass, p); err == nil {
		g.Seen = max(g.Seen, min(m.At, time.Now().UnixMilli()))
	}
}

// spreadProofs hands views to shared devices that may sign none.
func (n *network) spreadProofs() {
	if n.on == nil || n.book.View().Caps(n.self)&roster.CapShare == 0 {
		return
	}
	v, now := n.book.View(), time.Now()
	for _, s := range n.shares() {
		if s.Over(now) != nil || s.By == nil {
			continue
		}
		var proof []byte
		for id := range n.on.linked() {
			m := v.Member(id)
			if !s.Has(m) || m.Caps&roster.CapShare != 0 {
				continue
			}
			if h, ok := n.spread[handing{id, s.SID}]; ok && h.view == v && h.looks == n.looks(s) && now.Sub(h.at) < guest.ViewMost/4 {
				continue
			}
			if proof == nil {
				var err error
				if proof, err = n.prove(s); err != nil {
					return
				}
			}
			if n.say(id, note{Proof: &proofNote{s.SID, proof}}) {
				n.spread[handing{id, s.SID}] = spread{v, n.looks(s), now}
			}
		}
	}
}

// spread is when a view was handed over, and of which roster.
type spread struct {
	view  *roster.View
	looks string
	at    time.Time
}

// takeProof keeps an admin's view of a share of ours, for friends to see here.
func (n *network) takeProof(p proofNote) {
	s := guest.Read(n.book.View(), p.Share)
	if _, err := guest.OpenView(p.Proof, n.id, p.Share); s == nil || err != nil || len(n.proofs) >= sharesMost {
		return
	}
	if old := n.proofs[p.Share]; bytes.Equal(old, p.Proof) {
		return
	}
	n.proofs[p.Share] = bytes.Clone(p.Proof)
	if err := n.e.cfg.Store.PutValue(n.id, proofValue+guest.SID(p.Share).String(), p.Proof); err != nil {
		n.e.log.Warn("keep a share's proof", "network", n.alias, "err", err)
	}
	n.showAgain(s)
}

const proofValue = "proof/"
