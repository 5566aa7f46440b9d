package engine

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
)

// note is what members of the friend's network say to one another about shares,
// and those of the owner's. Any of its fields may be set.
type note struct {
	Offer  *offer        `cbor:"1,keyasint,omitempty"` // of an admin's: ask me for a pass
	Ask    []byte        `cbor:"2,keyasint,omitempty"` // a device's answer to that
	Grant  *grant        `cbor:"3,keyasint,omitempty"` // the pass
	Issuer *store.Issuer `cbor:"4,keyasint,omitempty"` // between admins: all that is needed to do the same
	Drop   *offer        `cbor:"5,keyasint,omitempty"` // the share was given up
	Proof  *proofNote    `cbor:"6,keyasint,omitempty"` // of the owner's admins, to shared devices that sign none
	Seen   *seenNote     `cbor:"7,keyasint,omitempty"` // of shared devices, to the owner's admins
	Got    *offer        `cbor:"8,keyasint,omitempty"` // a device's word that it has a pass: what is said may get lost
}

type offer struct {
	Network [32]byte `cbor:"1,keyasint"` // the friend's
	Share   [16]byte `cbor:"2,keyasint"`
}

type grant struct {
	Network  [32]byte        `cbor:"1,keyasint"`
	Share    [16]byte        `cbor:"2,keyasint"`
	Of       string          `cbor:"3,keyasint"` // the name of the friend's network
	Name     string          `cbor:"4,keyasint"`
	Door     key.Private     `cbor:"5,keyasint"`
	Pass     []byte          `cbor:"6,keyasint"`
	Proof    []byte          `cbor:"7,keyasint"`
	Contacts []store.Contact `cbor:"8,keyasint,omitempty"`
}

type proofNote struct {
	Share [16]byte `cbor:"1,keyasint"`
	Proof []byte   `cbor:"2,keyasint"`
}

type seenNote struct {
	Pass []byte `cbor:"1,keyasint"`
	At   int64  `cbor:"2,keyasint"`
}

// issuersMost bounds the friends' shares that a network has accepted.
const issuersMost = 64

func (n *network) say(to key.Public, m note) bool {
	raw, err := frame.Marshal(m)
	if err != nil || n.on == nil {
		return false
	}
	return n.on.replica.Note(to, raw)
}

// heardNote follows what a member says to this device alone.
func (n *network) heardNote(from key.Public, raw []byte) {
	var m note
	if frame.Unmarshal(raw, &m) != nil || n.book.View().Member(from) == nil {
		return
	}
	admin := n.book.View().Caps(from)&roster.CapShare != 0
	switch {
	case m.Ask != nil:
		n.answerAsk(from, m.Ask)
	case m.Seen != nil:
		n.heardSeen(from, m.Seen)
	case m.Got != nil:
		if n.issuer(m.Got.Network, m.Got.Share) != nil {
			n.got[handing{from, m.Got.Share}] = true
		}
	case !admin: // what follows is an admin's to say
	case m.Offer != nil:
		n.answerOffer(from, *m.Offer)
	case m.Grant != nil:
		if n.takeGrant(*m.Grant) {
			n.say(from, note{Got: &offer{m.Grant.Network, m.Grant.Share}})
		}
	case m.Issuer != nil:
		n.takeIssuer(*m.Issuer)
	case m.Drop != nil:
		n.dropIssuer(m.Drop.Network, m.Drop.Share)
		n.dropVisit(m.Drop.Network, m.Drop.Share)
	case m.Proof != nil:
		n.takeProof(*m.Proof)
	}
}

// mayIssue tells whether this device passes friends' shares on.
func (n *network) mayIssue() bool {
	return n.me() != nil && n.book.View().Caps(n.self)&roster.CapShare != 0
}

func (n *network) issuer(network [32]byte, sid [16]byte) *store.Issuer {
	for i := range n.secrets.Issuers {
		if s := &n.secrets.Issuers[i]; s.Network == network && s.Share == sid {
			return s
		}
	}
	return nil
}

// updateIssuer changes what is stored of an accepted share, or adds it.
func (n *network) updateIssuer(network [32]byte, sid [16]byte, fn func(*store.Issuer)) error {
	return n.updateSecrets(func(s *store.Secrets) error {
		for i := range s.Issuers {
			if s.Issuers[i].Network == network && s.Issuers[i].Share == sid {
				fn(&s.Issuers[i])
				return nil
			}
		}
		if len(s.Issuers) >= issuersMost {
			return store.ErrFull
		}
		s.Issuers = append(s.Issuers, store.Issuer{Network: network, Share: sid})
		fn(&s.Issuers[len(s.Issuers)-1])
		return nil
	})
}

// tendShares hands friends' shares to the devices of this network, renews passes
// whose half life is over, and takes those of removed devices back.
func (n *network) tendShares() {
	if !n.mayIssue() || n.on == nil {
		return
	}
	now := time.Now()
	for _, s := range n.secrets.Issuers {
		if s.Accepted && !s.Gone {
			n.cancelRemoved(s)
			n.passOn(s, now)
		}
	}
}

// passOn sees to it that each device that can be reached has a pass.
func (n *network) passOn(s store.Issuer, now time.Time) {
	v := n.book.View()
	n.renewOwn(s, now)
	linked, called := n.on.replica.Linked(), 0
	for _, m := range v.Members {
		id := m.Key
		if id == n.self || expired(m, now) {
			continue
		}
		if !linked[id] {
			// In a large network not all are linked with one another.
			if called < callsMost && n.lacks(s, id, now) {
				n.on.replica.Reach(id)
				called++
			}
			continue
		}
		if m.Caps&roster.CapShare != 0 && !n.handed[handing{id, s.Share}] {
			again := s
			again.Issued, again.Cancels, again.Link = nil, nil, ""
			if n.say(id, note{Issuer: &again}) {
				n.handed[handing{id, s.Share}] = true
			}
		}
		i := slices.IndexFunc(s.Issued, func(q store.Issued) bool { return q.Member == id })
		switch {
		case !n.got[handing{id, s.Share}]:
			if n.mayOffer(id, s.Share, now) {
				n.say(id, note{Offer: &offer{s.Network, s.Share}})
			}
		case i < 0: // another admin's
		case now.Unix() >= s.Issued[i].Stale:
			q := s.Issued[i]
			n.issueTo(id, s, guest.Ask{Network: s.Network, SID: s.Share, Guest: q.Guest, WG: q.WG, Control: q.Control})
		}
	}
}

// callsMost is how many members are called at once that are not linked.
const callsMost = 8

// How soon a device that does not answer is offered a pass again, doubled each
// time.
const (
	offerFirst = 500 * time.Millisecond
	offerMost  = time.Minute
)

// offered is how often a device was offered a share, and when last.
type offered struct {
	at    time.Time
	times int
}

// mayOffer bounds how often a device is offered a share, and comes back to it.
func (n *network) mayOffer(id key.Public, sid guest.SID, now time.Time) bool {
	h := handing{id, sid}
	last := n.offers[h]
	wait := min(offerFirst<<min(last.times, 10), offerMost)
	if last.times > 0 && now.Sub(last.at) < wait {
		return false
	}
	n.offers[h] = offered{now, last.times + 1}
	on := n.on
	time.AfterFunc(2*wait, func() {
		n.e.post(func() {
			if n.on == on && !n.got[h] {
				n.tendShares()
			}
		})
	})
	return true
}

// lacks tells whether a device has no pass, or one that is to be renewed.
func (n *network) lacks(s store.Issuer, id key.Public, now time.Time) bool {
	return !slices.ContainsFunc(s.Issued, func(q store.Issued) bool { return q.Member == id && now.Unix() < q.Stale })
}

// forgetSaid is for a new link with a member: what was said over the one before may
// be lost.
func (n *network) forgetSaid(to key.Public) {
	for h := range n.offers {
		if h.to == to {
			delete(n.offers, h)
		}
	}
	for h := range n.handed {
		if h.to == to {
			delete(n.handed, h)
		}
	}
	for h := range n.spread {
		if h.to == to {
			delete(n.spread, h)
		}
	}
}

// handing is a share that another device has been told of.
type handing struct {
	to  key.Public
	sid guest.SID
}

// renewOwn gives this device itself a pass.
func (n *network) renewOwn(s store.Issuer, now time.Time) {
	w, q := n.visitOf(s.Network), (*store.VisitShare)(nil)
	if w != nil {
		q = shareOf(w, s.Share)
	}
	if q != nil {
		if p, err := guest.PeekPass(q.Pass); err == nil && !p.Stale(now) {
			return
		}
	}
	a, err := n.askFor(s.Network, s.Share)
	if err != nil {
		n.e.log.Error("make a guest's keys", "network", n.alias, "err", err)
		return
	}
	n.issueTo(n.self, s, a)
}

// answerAsk gives a member of ours a pass.
func (n *network) answerAsk(from key.Public, raw []byte) {
	a, err := guest.OpenAsk(raw)
	if err != nil || !n.mayIssue() {
		return
	}
	m, s := n.book.View().Member(from), n.issuer(a.Network, a.SID)
	if m == nil || expired(m, time.Now()) || s == nil || !s.Accepted || s.Gone {
		return
	}
	for _, q := range s.Issued {
		if q.Guest == a.Guest && q.Member != from {
			return // another device's keys
		}
	}
	n.issueTo(from, *s, *a)
}

// issueTo signs a pass and hands it over.
func (n *network) issueTo(to key.Public, s store.Issuer, a guest.Ask) {
	v, err := guest.OpenView(s.Proof, s.Network, s.Share)
	m := n.book.View().Member(to)
	if err != nil || m == nil {
		return
	}
	now := time.Now()
	life := min(time.Duration(v.PassMax)*time.Millisecond, guest.PassDefault)
	p := guest.Pass{
		Network: s.Network, SID: s.Share, Guest: a.Guest, WG: a.WG, Control: a.Control, Label: m.Name,
		NotBefore: now.Unix(), NotAfter: now.Add(life).Unix(), N: uint64(now.UnixMilli()),
	}
	raw, err := p.Issue(s.Key)
	if err != nil {
		n.e.log.Error("issue a pass", "network", n.alias, "err", err)
		return
	}
	// Remembered first: it has to be taken back when the device is removed.
	err = n.updateIssuer(s.Network, s.Share, func(s *store.Issuer) {
		s.Issued = slices.DeleteFunc(slices.Clone(s.Issued), func(q store.Issued) bool { return q.Member == to })
		s.Issued = append(s.Issued, store.Issued{
			Member: to, Guest: p.Guest, WG: p.WG, Control: p.Control, N: p.N, NotAfter: p.NotAfter, Stale: p.NotBefore + int64(life.Seconds()/2),
		})
	})
	if err != nil {
		n.e.log.Error("keep that a pass was issued", "network", n.alias, "err", err)
		return
	}
	g := grant{Network: s.Network, Share: s.Share, Of: s.Of, Name: s.Name, Door: s.Door, Pass: raw, Proof: s.Proof, Contacts: s.Contacts}
	if to == n.self {
		n.takeGrant(g)
		return
	}
	n.say(to, note{Grant: &g})
}

// cancelRemoved takes the passes of devices back that are no members any more.
func (n *network) cancelRemoved(s store.Issuer) {
	v, now := n.book.View(), time.Now()
	gone := slices.DeleteFunc(slices.Clone(s.Issued), func(q store.Issued) bool {
		m := v.Member(q.Member)
		return m != nil && !expired(m, now)
	})
	if len(gone) > 0 {
		n.takeBack(s, gone)
	}
}

// takeBack cancels passes: the friend's devices are told as they are reached.
func (n *network) takeBack(s store.Issuer, which []store.Issued) {
	var cancels [][]byte
	for _, q := range which {
		if time.Now().Unix() > q.NotAfter+int64(guest.Grace.Seconds()) {
			continue
		}
		raw, err := guest.Cancel{Network: s.Network, SID: s.Share, Guest: q.Guest, N: q.N}.Issue(s.Key)
		if err == nil {
			cancels = append(cancels, raw)
		}
	}
	err := n.updateIssuer(s.Network, s.Share, func(s *store.Issuer) {
		s.Issued = slices.DeleteFunc(slices.Clone(s.Issued), func(q store.Issued) bool {
			return slices.ContainsFunc(which, func(o store.Issued) bool { return o.Guest == q.Guest })
		})
		s.Cancels = append(slices.Clone(s.Cancels), cancels...)
		s.Cancels = s.Cancels[max(0, len(s.Cancels)-cancelsKept):]
	})
	if err != nil {
		n.e.log.Error("keep that passes are taken back", "network", n.alias, "err", err)
	}
	n.tellCancels(s.Network, s.Share)
}

const cancelsKept = 64

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
		s.Door, s.Name = g.Door, g.Name
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

// takeIssuer keeps what another admin of ours has accepted.
func (n *network) takeIssuer(s store.Issuer) {
	if !n.mayIssue() || !s.Accepted || n.issuer(s.Network, s.Share) != nil {
		return
	}
	if _, err := guest.OpenView(s.Proof, s.Network, s.Share); err != nil || roster.ValidLabel(s.Name) != nil || roster.ValidLabel(s.Of) != nil {
		return
	}
	err := n.updateIssuer(s.Network, s.Share, func(o *store.Issuer) {
		s.Issued, s.Cancels, s.Gone, s.Link = nil, nil, false, ""
		*o = s
	})
	if err != nil {
		n.e.log.Error("keep a friend's share", "network", n.alias, "err", err)
	}
	n.tendShares()
}

// dropIssuer forgets an accepted share that was given up.
func (n *network) dropIssuer(network [32]byte, sid [16]byte) {
	err := n.updateSecrets(func(s *store.Secrets) error {
		s.Issuers = slices.DeleteFunc(s.Issuers, func(o store.Issuer) bool { return o.Network == network && o.Share == sid })
		return nil
	})
	if err != nil {
		n.e.log.Error("forget a friend's share", "network", n.alias, "err", err)
	}
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
