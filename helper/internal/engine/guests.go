package engine

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/filter"
	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/tunnel"
	"kith.internal/helper/internal/visit"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// guestID is a guest of one share.
type guestID struct {
	key key.Public
	sid guest.SID
}

// visitor is a friend's device that has shown a pass here.
type visitor struct {
	kept
	pass   *guest.Pass
	why    error // it may not come, nil if it may
	hellos map[*visit.Guest]bool
}

// kept is what is stored of a visitor: a pass that is older than one seen before
// must be known as such after a restart, too.
type kept struct {
	Raw  []byte `cbor:"1,keyasint"`
	N    uint64 `cbor:"2,keyasint"`
	Seen int64  `cbor:"3,keyasint,omitempty"` // ms
	// First is when it was first seen: who came first has its place.
	First int64 `cbor:"4,keyasint,omitempty"` // ms
}

// takenBack is a device's passes that the friend has cancelled, whether they were
// shown here or not.
type takenBack struct {
	SID    guest.SID    `cbor:"2,keyasint"`
	N      uint64       `cbor:"3,keyasint"`
	Until  int64        `cbor:"4,keyasint"` // ms: by then they are over by themselves
	Device guest.Device `cbor:"5,keyasint"`
}

func (o takenBack) of(sid guest.SID, d guest.Device) bool { return o.SID == sid && o.Device == d }

// Bounds on what friends' devices can have remembered.
const (
	visitorsMost = 1024
	shareMost    = 2 * guest.GuestsMost // of one share: no friend takes others' places
	toldMost     = 64                   // who may not come any more and may still be told so
)

const (
	visitorsValue = "visitors"
	cancelsValue  = "taken-back"
)

// loadVisitors reads what is stored of guests.
func (n *network) loadVisitors() error {
	n.visitors = map[guestID]*visitor{}
	raw, err := n.e.cfg.Store.Value(n.id, visitorsValue)
	if err != nil || raw == nil {
		return err
	}
	var list []kept
	if err := frame.Unmarshal(raw, &list); err != nil {
		return err
	}
	for _, k := range list {
		if p, err := guest.PeekPass(k.Raw); err == nil {
			n.visitors[guestID{p.Guest, p.SID}] = &visitor{kept: k, pass: p, hellos: map[*visit.Guest]bool{}}
		}
	}
	if raw, err = n.e.cfg.Store.Value(n.id, cancelsValue); err != nil || raw == nil {
		return err
	}
	return frame.Unmarshal(raw, &n.cancels)
}

// keepVisitors stores them.
func (n *network) keepVisitors() {
	list := make([]kept, 0, len(n.visitors))
	for _, g := range n.visitors {
		list = append(list, g.kept)
	}
	slices.SortFunc(list, func(a, b kept) int { return bytes.Compare(a.Raw, b.Raw) })
	raw, err := frame.Marshal(list)
	if err == nil {
		err = n.e.cfg.Store.PutValue(n.id, visitorsValue, raw)
	}
	if err != nil {
		n.e.log.Warn("keep what is known of guests", "network", n.alias, "err", err)
	}
}

// known is the guests as the judge wants them.
func (n *network) known() []guest.Known {
	type device struct {
		sid guest.SID
		id  guest.Device
	}
	cancelled := make(map[device]uint64, len(n.cancels))
	out := make([]guest.Known, 0, len(n.visitors)+len(n.cancels))
	for _, c := range n.cancels {
		cancelled[device{c.SID, c.Device}] = c.N
		out = append(out, guest.Known{SID: c.SID, Device: c.Device, Cancelled: c.N})
	}
	for id, g := range n.visitors {
		out = append(out, guest.Known{
			Guest: id.key, SID: id.sid, WG: g.pass.WG, Control: g.pass.Control, Device: g.pass.Device, N: g.N, Ends: g.pass.Ends(), First: g.First,
			Cancelled: cancelled[device{id.sid, g.pass.Device}],
		})
	}
	return out
}

func (n *network) judge() guest.Judge {
	return guest.Judge{View: n.book.View(), Now: time.Now(), Guests: n.known()}
}

// takePass lets a guest in by a pass that it has shown, in a session of its own
// key or (zero) at the door. An *ipc.Error says why not.
func (n *network) takePass(raw []byte, stream key.Public) (*visitor, *guest.State, error) {
	j := n.judge()
	p, s, err := j.Pass(raw, stream)
	if err != nil {
		return nil, s, err
	}
	g, fresh, err := n.takeSeen(raw, p)
	if err != nil {
		return nil, s, err
	}
	g.Seen = j.Now.UnixMilli()
	if fresh {
		n.e.log.Info("a guest may come", "network", n.alias, "guest", p.Guest.Short(), "label", p.Label, "share", p.SID.String()[:8])
		n.tellSeen(g)
	}
	return g, s, nil
}

// takeSeen keeps a pass that was judged to be good.
func (n *network) takeSeen(raw []byte, p *guest.Pass) (g *visitor, fresh bool, err error) {
	id := guestID{p.Guest, p.SID}
	g = n.visitors[id]
	if g != nil && bytes.Equal(g.Raw, raw) {
		return g, false, nil
	}
	if g == nil {
		first := n.placeOf(p, time.Now().UnixMilli())
		n.makeRoom(p)
		if len(n.visitors) >= visitorsMost {
			return nil, false, ipc.Errorf(ipc.CodeLimit, "%s has too many guests", n.alias)
		}
		g = &visitor{kept: kept{First: first}, hellos: map[*visit.Guest]bool{}}
		n.visitors[id] = g
	}
	g.Raw, g.N, g.pass, g.why = bytes.Clone(raw), p.N, p, nil
	n.keepVisitors()
	n.refresh()
	return g, true, nil
}

// placeOf is when a pass's device was first seen, under whatever keys: they are
// forgotten before its place is.
func (n *network) placeOf(p *guest.Pass, now int64) int64 {
	for id, g := range n.visitors {
		if id.sid == p.SID && g.pass.Device == p.Device {
			now = min(now, g.First)
		}
	}
	return now
}

// makeRoom forgets some that may not come any more: of the same device all, and
// where the share or the network has no place left, the one seen longest ago. What
// keeps them out is known without them.
func (n *network) makeRoom(p *guest.Pass) {
	mine := 0
	var ofShare, ofAll guestID
	older := func(id *guestID, than guestID) {
		if o := n.visitors[*id]; o == nil || n.visitors[than].Seen < o.Seen {
			*id = than
		}
	}
	for id, g := range n.visitors {
		if id.sid == p.SID {
			if g.why != nil && g.pass.Device == p.Device {
				delete(n.visitors, id)
				continue
			}
			mine++
		}
		if g.why != nil {
			if older(&ofAll, id); id.sid == p.SID {
				older(&ofShare, id)
			}
		}
	}
	switch {
	case mine >= shareMost:
		delete(n.visitors, ofShare)
	case len(n.visitors) >= visitorsMost:
		delete(n.visitors, ofAll)
	}
}

// latestOf leaves no more than some of one share's, the oldest out: that harms nobody
// but this friend.
func latestOf(list []takenBack, sid guest.SID, most int) []takenBack {
	over := -most
	for _, o := range list {
		if o.SID == sid {
			over++
		}
	}
	return slices.DeleteFunc(list, func(o takenBack) bool {
		if o.SID != sid || over <= 0 {
			return false
		}
		over--
		return true
	})
}

// cancel ends passes that the friend takes back.
func (n *network) cancel(raw []byte) error {
	c, err := guest.OpenCancel(raw, func(sid guest.SID) (key.Public, bool) {
		s := guest.Read(n.book.View(), sid)
		if s == nil || !s.Accepted() {
			return key.Public{}, false
		}
		return s.By.Issuer, true
	})
	if err != nil || c.Network != n.id {
		return errors.Join(err, roster.ErrSignature)
	}
	now := time.Now()
	n.cancels = slices.DeleteFunc(n.cancels, func(o takenBack) bool {
		return now.After(time.UnixMilli(o.Until)) || o.of(c.SID, c.Device) && o.N <= c.N
	})
	if slices.ContainsFunc(n.cancels, func(o takenBack) bool { return o.of(c.SID, c.Device) }) {
		return nil
	}
	n.cancels = latestOf(n.cancels, c.SID, shareMost-1)
	if len(n.cancels) >= visitorsMost {
		return ipc.Errorf(ipc.CodeLimit, "%s remembers too many passes that were taken back", n.alias)
	}
	n.cancels = append(n.cancels, takenBack{SID: c.SID, Device: c.Device, N: c.N, Until: now.Add(guest.PassMost + 2*guest.Grace).UnixMilli()})
	raw, err = frame.Marshal(n.cancels)
	if err == nil {
		err = n.e.cfg.Store.PutValue(n.id, cancelsValue, raw)
	}
	if err != nil {
		n.e.log.Warn("keep that a pass was taken back", "network", n.alias, "err", err)
	}
	n.refresh()
	return nil
}

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
	out := fmt.Sprint(s.Ports, s.Both, s.Exit, s.Expires, s.Sponsor)
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
