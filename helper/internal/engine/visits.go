package engine

import (
	"errors"
	"slices"
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
)

// answerOffer asks an admin for a pass, unless there is one that is fresh.
func (n *network) answerOffer(from key.Public, o offer) {
	if w := n.visitOf(o.Network); w != nil {
		if s := shareOf(w, o.Share); s != nil {
			if p, err := guest.PeekPass(s.Pass); err == nil && !p.Stale(time.Now()) {
				n.say(from, note{Got: &o})
				return
			}
		}
	}
	a, err := n.askFor(o.Network, o.Share)
	if err != nil {
		n.e.log.Error("make a guest's keys", "network", n.alias, "err", err)
		return
	}
	w := n.visitOf(o.Network)
	raw, err := a.Sign(w.Guest)
	if err == nil {
		n.say(from, note{Ask: raw})
	}
}

// visitsMost bounds the friends' networks that a device is a guest of.
const visitsMost = 32

// askFor is this device's wish for a pass, with keys that are made at the first.
func (n *network) askFor(network [32]byte, sid [16]byte) (guest.Ask, error) {
	if n.visitOf(network) == nil {
		if len(n.secrets.Visits) >= visitsMost {
			return guest.Ask{}, errors.New("too many friends' networks")
		}
		err := n.updateSecrets(func(s *store.Secrets) error {
			s.Visits = append(s.Visits, store.Visit{Network: network, Guest: key.New(), Keys: newKeys(1)})
			return nil
		})
		if err != nil {
			return guest.Ask{}, err
		}
	}
	w := n.visitOf(network)
	return guest.Ask{
		Network: network, SID: sid, Guest: w.Guest.Public(), WG: w.Keys.WireGuard.Public(), Control: w.Keys.Control.Public(),
	}, nil
}

func (n *network) visitOf(network [32]byte) *store.Visit {
	for i := range n.secrets.Visits {
		if n.secrets.Visits[i].Network == network {
			return &n.secrets.Visits[i]
		}
	}
	return nil
}

func shareOf(w *store.Visit, sid [16]byte) *store.VisitShare {
	for i := range w.Shares {
		if w.Shares[i].Share == sid {
			return &w.Shares[i]
		}
	}
	return nil
}

// sharesMostHere bounds the shares of one friend's network.
const sharesMostHere = 16

// takeGrant keeps a pass and what goes with it, and goes visiting.
func (n *network) takeGrant(g grant) (ok bool) {
	w := n.visitOf(g.Network)
	p, err := guest.PeekPass(g.Pass)
	if w == nil || err != nil || p.Network != g.Network || p.SID != g.Share || p.Guest != w.Guest.Public() || roster.ValidLabel(g.Name) != nil {
		return false
	}
	view, err := guest.OpenView(g.Proof, g.Network, g.Share)
	if err != nil {
		n.e.log.Warn("a friend's share is refused", "network", n.alias, "err", err)
		return false
	}
	alias := w.Alias
	if alias == "" {
		alias = n.e.visitAlias(view.Name)
	}
	err = n.updateVisit(g.Network, func(w *store.Visit) {
		w.Alias = alias
		s := shareOf(w, g.Share)
		if s == nil {
			if len(w.Shares) >= sharesMostHere {
				return
			}
			w.Shares = append(w.Shares, store.VisitShare{Share: g.Share, Since: time.Now()})
			s = &w.Shares[len(w.Shares)-1]
		}
		if old, err := guest.PeekPass(s.Pass); err != nil || old.N <= p.N {
			s.Pass = g.Pass
		}
		s.Door, s.Name, s.Both = g.Door, g.Name, g.Both
		if old, err := guest.OpenView(s.Proof, g.Network, g.Share); err != nil || old.Made < view.Made {
			s.Proof = g.Proof
		}
		if len(s.Contacts) == 0 {
			s.Contacts = g.Contacts
		}
	})
	if err != nil {
		n.e.log.Error("keep a friend's share", "network", n.alias, "err", err)
		return false
	}
	n.tendVisits()
	if s := n.stays[g.Network]; s != nil {
		s.tellPass(g.Share, g.Pass)
	}
	return true
}

func (n *network) updateVisit(network [32]byte, fn func(*store.Visit)) error {
	return n.updateSecrets(func(s *store.Secrets) error {
		for i := range s.Visits {
			if s.Visits[i].Network == network {
				s.Visits[i].Shares = slices.Clone(s.Visits[i].Shares)
				fn(&s.Visits[i])
			}
		}
		return nil
	})
}

// ended keeps that the friend's side has ended a share. That it was taken back an
// admin's device tells the others: the friend's may be gone by the time they come.
func (n *network) ended(network [32]byte, sid [16]byte, code ipc.Code) {
	var err error
	w, s := n.visitOf(network), n.issuer(network, sid)
	if w != nil && shareOf(w, sid) != nil && shareOf(w, sid).Ended != string(code) {
		err = n.updateVisit(network, func(w *store.Visit) { shareOf(w, sid).Ended = string(code) })
	}
	if err == nil && code == ipc.CodeShareRevoked && s != nil && s.Accepted && !s.Ended && !s.Gone {
		err = n.updateIssuer(network, sid, func(s *store.Issuer) { s.Ended = true })
		n.forgetGot(sid)
		n.tendShares()
	}
	if err != nil {
		n.e.log.Error("keep that a friend's share has ended", "network", n.alias, "err", err)
	}
	n.tendVisits()
	n.e.publishSoon()
}

// dropVisit forgets a friend's share on this device, and visits it no more.
func (n *network) dropVisit(network [32]byte, sid [16]byte) {
	n.forgetVisit(network, sid)
	n.tendVisits()
}

func (n *network) forgetVisit(network [32]byte, sid [16]byte) {
	err := n.updateSecrets(func(s *store.Secrets) error {
		s.Visits = slices.DeleteFunc(slices.Clone(s.Visits), func(w store.Visit) bool {
			return w.Network == network && !slices.ContainsFunc(w.Shares, func(o store.VisitShare) bool { return o.Share != sid })
		})
		for i := range s.Visits {
			if w := &s.Visits[i]; w.Network == network {
				w.Shares = slices.DeleteFunc(slices.Clone(w.Shares), func(o store.VisitShare) bool { return o.Share == sid })
			}
		}
		return nil
	})
	if err != nil {
		n.e.log.Error("forget a friend's share", "network", n.alias, "err", err)
	}
}
