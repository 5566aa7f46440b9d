package engine

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
)

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
		if issuersLive(s) >= issuersMost {
			return store.ErrFull
		}
		s.Issuers = append(s.Issuers, store.Issuer{Network: network, Share: sid})
		fn(&s.Issuers[len(s.Issuers)-1])
		return nil
	})
}

// issuersLive counts the accepted shares, without those that were given up.
func issuersLive(s *store.Secrets) (live int) {
	for _, o := range s.Issuers {
		if !o.Gone {
			live++
		}
	}
	return live
}

// tendShares hands friends' shares to the devices of this network, renews passes
// whose half life is over, and takes those of removed devices back.
func (n *network) tendShares() {
	if !n.mayIssue() || n.on == nil {
		return
	}
	now := time.Now()
	lately := n.removedLately(now)
	for _, s := range n.secrets.Issuers {
		switch {
		case s.Gone:
			n.tellAll(s.Share, note{Drop: &offer{s.Network, s.Share}}, now)
		case s.Ended:
			n.tellAll(s.Share, note{Over: &offer{s.Network, s.Share}}, now)
		case s.Accepted:
			n.cancelRemoved(s, lately)
			n.passOn(s, now)
		}
	}
}

// tellAll tells the members, also those that were away, that a share was given up or
// taken back, until they say that they know: an admin's device would go on passing it on.
func (n *network) tellAll(sid guest.SID, m note, now time.Time) {
	for id := range n.on.linked() {
		if !n.got[handing{id, sid}] && n.mayOffer(id, sid, now) {
			n.say(id, m)
		}
	}
}

// forgetGot is for a share of which there is something else to be told.
func (n *network) forgetGot(sid guest.SID) {
	maps.DeleteFunc(n.got, func(h handing, _ bool) bool { return h.sid == sid })
	maps.DeleteFunc(n.offers, func(h handing, _ offered) bool { return h.sid == sid })
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
		// With each offer anew: what is said as a link comes up may be lost, and an admin
		// that has asked for a pass since has heard this before.
		h := handing{id, s.Share}
		offers := !n.got[h] && n.mayOffer(id, s.Share, now)
		if m.Caps&roster.CapShare != 0 && (offers || !n.handed[h]) {
			again := s
			again.Issued, again.Cancels, again.Link = nil, nil, ""
			if n.say(id, note{Issuer: &again}) {
				n.handed[h] = true
			}
		}
		i := slices.IndexFunc(s.Issued, func(q store.Issued) bool { return q.Member == id })
		switch {
		case offers:
			n.say(id, note{Offer: &offer{s.Network, s.Share}})
		case !n.got[h]:
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
	for h := range n.got { // it may have lost its pass since
		if h.to == to {
			delete(n.got, h)
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
	if m == nil || expired(m, time.Now()) || s == nil || !s.Accepted || s.Gone || s.Ended {
		return
	}
	for _, q := range s.Issued {
		if q.Guest == a.Guest && q.Member != from {
			return // another device's keys
		}
		if since := time.Since(time.UnixMilli(int64(q.N))); q.Member == from && !isFor(q, *a) && since >= 0 && since < renewKeys {
			return
		}
	}
	n.issueTo(from, *s, *a)
}

// renewKeys is how soon a device is given a pass for other keys: each is written
// down first. One that has new keys is offered a pass again.
const renewKeys = 5 * time.Second

// isFor tells whether a pass was issued for the keys that are asked with.
func isFor(q store.Issued, a guest.Ask) bool {
	return q.Guest == a.Guest && q.WG == a.WG && q.Control == a.Control
}

// issueTo signs a pass and hands it over: the one that was issued, where it is good
// for some time yet, so that who asks again and again has nothing written.
func (n *network) issueTo(to key.Public, s store.Issuer, a guest.Ask) {
	v, err := guest.OpenView(s.Proof, s.Network, s.Share)
	m := n.book.View().Member(to)
	if err != nil || m == nil {
		return
	}
	now := time.Now()
	life := min(time.Duration(v.PassMax)*time.Millisecond, guest.PassDefault)
	made := now
	old := slices.IndexFunc(s.Issued, func(q store.Issued) bool { return q.Member == to && isFor(q, a) && now.Unix() < q.Stale })
	if old >= 0 {
		made = time.UnixMilli(int64(s.Issued[old].N))
	}
	p := guest.Pass{
		Network: s.Network, SID: s.Share, Guest: a.Guest, WG: a.WG, Control: a.Control, Label: m.Name,
		NotBefore: made.Unix(), NotAfter: made.Add(life).Unix(), N: uint64(made.UnixMilli()),
		Device: guest.DeviceOf(s.Key, m.Key),
	}
	for _, raw := range s.Cancels { // it was removed, and is back
		if c, err := guest.PeekCancel(raw); err == nil && c.Device == p.Device {
			p.N = max(p.N, c.N+1)
		}
	}
	raw, err := p.Issue(s.Key)
	if err != nil {
		n.e.log.Error("issue a pass", "network", n.alias, "err", err)
		return
	}
	if old < 0 || p.NotAfter != s.Issued[old].NotAfter {
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
	}
	g := grant{Network: s.Network, Share: s.Share, Of: s.Of, Name: s.Name, Door: s.Door, Pass: raw, Proof: s.Proof, Contacts: s.Contacts, Both: s.Both}
	if to == n.self {
		n.takeGrant(g)
		return
	}
	n.say(to, note{Grant: &g})
}

// removal is a device that is to lose its passes, and all that were issued until when
// at the least, ms.
type removal struct {
	device key.Public
	at     uint64
}

// removedLately is the devices that may still hold a pass, the latest first: also
// those that another admin has given theirs, which may be away.
func (n *network) removedLately(now time.Time) (out []removal) {
	if len(n.secrets.Issuers) == 0 {
		return nil
	}
	v, since := n.book.View(), uint64(now.Add(-guest.PassDefault-guest.Grace).UnixMilli())
	for r := range v.Wanted() {
		b, ok := r.Body.(*roster.Revoke)
		if !ok || r.Clock <= since || b.Key.IsZero() || v.Member(b.Key) != nil || v.RemovedBy(b.Key) == nil {
			continue
		}
		at := r.Clock
		if at > uint64(now.Add(guest.Grace).UnixMilli()) {
			at = 0 // a record's clock may be anything
		}
		out = append(out, removal{b.Key, at})
	}
	slices.SortFunc(out, func(a, b removal) int {
		return cmp.Or(cmp.Compare(b.at, a.at), bytes.Compare(a.device[:], b.device[:]))
	})
	return out[:min(len(out), cancelsKept)]
}

// cancelRemoved takes the passes of devices back that are no members any more.
func (n *network) cancelRemoved(s store.Issuer, lately []removal) {
	v, now := n.book.View(), time.Now()
	gone := slices.DeleteFunc(holders(s), func(r removal) bool {
		m := v.Member(r.device)
		return m != nil && !expired(m, now)
	})
	for _, r := range lately {
		d := guest.DeviceOf(s.Key, r.device)
		told := slices.ContainsFunc(s.Cancels, func(raw []byte) bool {
			c, err := guest.PeekCancel(raw)
			return err == nil && c.Device == d && c.N >= r.at
		})
		if !told {
			gone = append(gone, r)
		}
	}
	if len(gone) > 0 {
		n.takeBack(s, gone)
	}
}

// takeBack cancels all passes that devices of ours have been given so far: the
// friend's devices are told as they are reached.
func (n *network) takeBack(s store.Issuer, which []removal) {
	now := time.Now()
	left := liveCancels(s.Cancels, now)
	for _, r := range which {
		c := guest.Cancel{
			Network: s.Network, SID: s.Share, Device: guest.DeviceOf(s.Key, r.device), N: max(uint64(now.UnixMilli()), r.at),
		}
		raw, err := c.Issue(s.Key)
		if err != nil {
			n.e.log.Error("take a pass back", "network", n.alias, "err", err)
			continue
		}
		left = slices.DeleteFunc(left, func(raw []byte) bool {
			o, err := guest.PeekCancel(raw)
			return err != nil || o.Device == c.Device
		})
		left = append(left, raw)
	}
	err := n.updateIssuer(s.Network, s.Share, func(s *store.Issuer) {
		s.Issued = slices.DeleteFunc(slices.Clone(s.Issued), func(q store.Issued) bool {
			return slices.ContainsFunc(which, func(r removal) bool { return r.device == q.Member })
		})
		s.Cancels = left[max(0, len(left)-cancelsKept):]
	})
	if err != nil {
		n.e.log.Error("keep that passes are taken back", "network", n.alias, "err", err)
	}
	n.tellCancels(s.Network, s.Share)
}

// holders is the devices that this one has given passes.
func holders(s store.Issuer) (out []removal) {
	for _, q := range s.Issued {
		out = append(out, removal{q.Member, q.N})
	}
	return out
}

const cancelsKept = 64

// liveCancels leaves out those whose passes are over by themselves: a pass has the
// time of its issue as its number.
func liveCancels(list [][]byte, now time.Time) (out [][]byte) {
	since := uint64(now.Add(-guest.PassDefault - 2*guest.Grace).UnixMilli())
	for _, raw := range list {
		if c, err := guest.PeekCancel(raw); err == nil && c.N > since {
			out = append(out, raw)
		}
	}
	return out
}

// takeIssuer keeps what another admin of ours has accepted.
func (n *network) takeIssuer(from key.Public, s store.Issuer) {
	if o := n.issuer(s.Network, s.Share); o != nil && o.Gone {
		n.say(from, note{Drop: &offer{s.Network, s.Share}})
		return
	}
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

// buriedFor is how long it is known that a share was given up: by then whoever was
// away has come back.
const buriedFor = 180 * 24 * time.Hour

// bury forgets all of an accepted share but that it was given up: an admin's device
// that was away would bring it back.
func (n *network) bury(network [32]byte, sid [16]byte) {
	now := time.Now()
	err := n.updateSecrets(func(s *store.Secrets) error {
		left := slices.DeleteFunc(slices.Clone(s.Issuers), func(o store.Issuer) bool { return o.Gone && now.Sub(o.Since) > buriedFor })
		gone := 0
		for i := range left {
			if o := &left[i]; o.Network == network && o.Share == sid {
				since := now
				if o.Gone && len(o.Proof) == 0 {
					since = o.Since
				}
				*o = store.Issuer{Network: network, Share: sid, Gone: true, Since: since}
			}
			if left[i].Gone {
				gone++
			}
		}
		for ; gone > issuersMost; gone-- {
			i := slices.IndexFunc(left, func(o store.Issuer) bool { return o.Gone })
			left = slices.Delete(left, i, i+1)
		}
		s.Issuers = left
		return nil
	})
	if err != nil {
		n.e.log.Error("keep that a friend's share was given up", "network", n.alias, "err", err)
	}
}
