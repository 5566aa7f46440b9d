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
	"kith.internal/helper/internal/visit"
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
		clear(n.shareCache.closed) // a policy may name its address
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

// withoutOldestOfMost makes room at the cost of the share that takes most of it.
func withoutOldestOfMost(list []takenBack) []takenBack {
	of := map[guest.SID]int{}
	var most guest.SID
	for _, o := range list {
		if of[o.SID]++; of[o.SID] > of[most] {
			most = o.SID
		}
	}
	return latestOf(list, most, of[most]-1)
}

// cancel ends passes that the friend takes back. Its error is of what is not signed
// by who accepted a share that stands.
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
		n.cancels = withoutOldestOfMost(n.cancels)
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
