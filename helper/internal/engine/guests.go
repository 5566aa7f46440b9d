package engine

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/tunnel"
	"kith.internal/helper/internal/visit"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// decideGuests adds what guests and shares need to a decision, and ends what may
// not be any more.
func (n *network) decideGuests(d *decision) {
	shares := n.shares()
	if len(shares) == 0 && len(n.visitors) == 0 {
		return
	}
	v, carries := n.book.View(), n.carries()
	for _, s := range shares {
		d.wire = append(d.wire, n.doors(s, v, carries)...)
	}
	told := 0
	placed := map[key.Public]guestAddrs{}
	for _, id := range n.visitorIDs() {
		g := n.visitors[id]
		if g.why != nil {
			if told++; told > toldMost {
				continue
			}
		}
		w := wire.Peer{ID: id.key, Control: g.pass.Control, Guest: true}
		s := guest.Read(v, id.sid)
		if carries && g.why == nil {
			w.Only = s.Reach(v)
		}
		at := slices.IndexFunc(d.wire, func(p wire.Peer) bool { return p.ID == id.key })
		if at < 0 {
			d.wire = append(d.wire, w)
		} else {
			d.wire[at].Only = append(d.wire[at].Only, w.Only...)
		}
		if g.why != nil || !s.Has(v.Member(n.self)) {
			continue
		}
		a, ok := placed[id.key]
		if !ok {
			a = guestAddrs{id.key, guest.Addr(n.id, id.key), n.guest4(id.key)}
			placed[id.key] = a
			d.mapped = append(d.mapped, a)
			d.tunnel = append(d.tunnel, tunnel.Peer{ID: id.key, WG: g.pass.WG, Addrs: []netip.Addr{a.six}})
		}
		d.guests = append(d.guests, filter.Guest{
			Addrs: a.all(), Label: g.pass.Label, Share: id.sid.String(), Ports: sharePorts(s.Ports), In: true, Out: s.Both, Exit: s.Exit,
		})
	}
}

// visitorIDs are the guests in a fixed order, those that may come first, then the
// latest.
func (n *network) visitorIDs() []guestID {
	ids := slices.Collect(maps.Keys(n.visitors))
	slices.SortFunc(ids, func(a, b guestID) int {
		x, y := n.visitors[a], n.visitors[b]
		if (x.why == nil) != (y.why == nil) {
			if x.why == nil {
				return -1
			}
			return 1
		}
		return cmp.Or(-cmp.Compare(x.Seen, y.Seen), bytes.Compare(a.key[:], b.key[:]), bytes.Compare(a.sid[:], b.sid[:]))
	})
	return ids
}

// doors is the link of a share, at its sponsor and at who carries, and once it is
// accepted the door, at all that the friend has to do with. Of a share that is
// over who comes is told so.
func (n *network) doors(s *guest.State, v *roster.View, carries bool) []wire.Peer {
	var out []wire.Peer
	add := func(k key.Public, reach []key.Public) {
		c, err := k.Exchange()
		mine := slices.Contains(reach, n.self)
		if err != nil || !mine && !carries || v.Member(k) != nil {
			return
		}
		p := wire.Peer{ID: k, Control: c, Shared: true}
		if carries && s.Over(time.Now()) == nil {
			p.Only = reach
		}
		out = append(out, p)
	}
	add(s.Key, []key.Public{s.Sponsor})
	if s.By != nil && !s.By.Door.IsZero() {
		add(s.By.Door, s.Reach(v))
	}
	return out
}

// checkVisitors judges all guests again, after a change of the roster or with
// time, and tells those who may not come any more.
func (n *network) checkVisitors() {
	n.forgetRefused()
	if len(n.visitors) == 0 {
		return
	}
	j := n.judge()
	forgot := false
	for id, g := range n.visitors {
		if j.Now.After(g.pass.Ends().Add(2*guest.Grace)) && len(g.hellos) == 0 {
			delete(n.visitors, id)
			forgot = true
			continue
		}
		_, _, why := j.Pass(g.Raw, key.Public{})
		if (why == nil) == (g.why == nil) {
			g.why = why
			continue
		}
		if g.why = why; why == nil {
			continue
		}
		n.e.log.Info("a guest may not come any more", "network", n.alias, "guest", id.key.Short(), "why", why)
		for h := range g.hellos {
			n.e.background(func() {
				h.Send(visit.Refusal(why))
				h.Settle()
			})
		}
	}
	if forgot {
		n.keepVisitors()
	}
	n.showChanges()
}

// showChanges tells guests that are here when what is shared with them has
// changed.
func (n *network) showChanges() {
	if n.on == nil {
		return
	}
	for _, s := range n.shares() {
		now := n.looks(s)
		if was, ok := n.shownAs[s.SID]; ok && was != now {
			n.showAgain(s)
		}
		n.shownAs[s.SID] = now
	}
}

// looks is what a guest is shown of a share, to tell whether it has changed.
func (n *network) looks(s *guest.State) string {
	v := n.book.View()
	out := fmt.Sprint(s.Ports, s.Both, s.Exit, s.Expires, s.Sponsor, n.closedByPolicy(s))
	for _, m := range v.Members {
		if n.servesAny(m) || n.carriesAny(m) != nil {
			out += m.Key.Short()
		}
	}
	exits := n.exitsFor(s)
	for _, m := range s.Targets(v) {
		out += fmt.Sprint(m.Key, m.WG, m.Control, m.Name, exits(m), n.has4(m), m.IPv4)
	}
	return out
}

// showAgain sends what a share is now to the guests that are here.
func (n *network) showAgain(s *guest.State) {
	var a *visit.Answer
	for id, g := range n.visitors {
		if id.sid != s.SID || g.why != nil {
			continue
		}
		for h := range g.hellos {
			if a == nil {
				a = new(n.showShare(s))
			}
			n.e.background(func() { h.Send(*a) })
		}
	}
}

// nextGuestEnd is when the next pass or share ends, zero for never.
func (n *network) nextGuestEnd(now time.Time) (next time.Time) {
	sooner := func(at time.Time) {
		if at = at.Add(time.Millisecond); at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for _, g := range n.visitors {
		sooner(g.pass.Ends().Add(guest.Grace))
		sooner(g.pass.Ends().Add(2 * guest.Grace))
	}
	for _, s := range n.shares() {
		if s.Expires != 0 {
			sooner(time.UnixMilli(s.Expires).Add(guest.Grace))
		}
	}
	return next
}

// guestGroups is what LAN discovery hears for shares.
func (n *network) guestGroups() []discover.Group {
	var out []discover.Group
	port := n.on.conn.Port()
	v := n.book.View()
	hear := func(k key.Public) {
		if v.Member(k) != nil {
			return
		}
		out = append(out, discover.Group{Secret: guest.LANSecret(k), Port: port, Handle: func(h discover.Heard) {
			n.e.post(func() { n.heardGuest(k, h) })
		}})
	}
	for _, s := range n.shares() {
		if s.Sponsor == n.self {
			hear(s.Key)
		}
		if s.By != nil && (n.carries() || slices.Contains(s.Reach(v), n.self)) {
			hear(s.By.Door)
		}
	}
	return out
}

// heardGuest follows an announcement under a share's tag: of who holds the key,
// or of a guest.
func (n *network) heardGuest(k key.Public, h discover.Heard) {
	if n.on == nil {
		return
	}
	id := k
	for g := range n.visitors {
		if shortID(g.key) == h.ID {
			id = g.key
		}
	}
	n.on.wire.AddCandidates(id, h.From)
	n.on.wire.Seek(id)
}

// fillGuests adds who comes by a share.
func (n *network) fillGuests(out *ipc.Share, sid guest.SID) {
	var last int64
	for _, id := range n.visitorIDs() {
		g := n.visitors[id]
		if id.sid != sid {
			continue
		}
		a := guest.Addr(n.id, id.key)
		q := ipc.Guest{Label: g.pass.Label, IPv6: &a, Online: len(g.hellos) > 0, LastSeen: moment(time.UnixMilli(g.Seen))}
		if q.Online {
			q.LastSeen = moment(time.Now().Truncate(time.Minute)) // or each look would be news
		}
		last = max(last, g.Seen, q.LastSeen.UnixMilli())
		if g.why == nil {
			out.Guests = append(out.Guests, q)
		}
	}
	if last > 0 {
		out.LastUsed = moment(time.UnixMilli(last))
	}
}
