package engine

import (
	"cmp"
	"context"
	"crypto/sha256"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/discover"
	"kith.internal/helper/internal/join"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// What is kept of openings heard is bounded: anybody on a LAN can say many.
const (
	heardMost      = 16
	heardPerSource = 4
	heardAddrs     = 4
	heardFor       = 12 * time.Second // four notices that were lost
	sweepEvery     = 4 * time.Second
	nearbyJoinMost = 4 // under way at once
)

// heardOpening is a network that somebody on a LAN says is open.
type heardOpening struct {
	id     string // for people: 40 bits of the hash of all it says
	said   join.Notice
	first  netip.Addr // who said it first
	addrs  []netip.AddrPort
	until  time.Time
	seen   time.Time
	digits string
	code   ipc.Code // why the last try failed
	join   *joining // under way
}

// openingHash names an opening by all that it says but the time.
func openingHash(n join.Notice) [32]byte {
	n.Left = 0
	b, err := n.Encode()
	if err != nil {
		return [32]byte{}
	}
	return sha256.Sum256(b)
}

// hearNotice is called from discovery's goroutine.
func (e *Engine) hearNotice(h discover.HeardNotice) {
	n, err := join.ParseNotice(h.Body)
	if err != nil {
		return
	}
	hash := openingHash(*n)
	e.post(func() { e.heardNotice(h.From, n, hash) })
}

func (e *Engine) heardNotice(from netip.Addr, said *join.Notice, hash [32]byte) {
	if e.stopping || e.inNetwork(said.Network) {
		return
	}
	now := time.Now()
	h := e.heard[hash]
	if said.Left == 0 {
		e.heardClosed(from, h, hash)
		return
	}
	if h == nil {
		same := 0
		for _, o := range e.heard {
			if o.first == from {
				same++
			}
		}
		if len(e.heard) >= heardMost || same >= heardPerSource {
			return
		}
		h = &heardOpening{id: key.Public(hash).String()[:8], said: *said, first: from, until: now.Add(said.Left)}
		e.heard[hash] = h
		e.toldNearby()
		e.sweepSoon()
	}
	h.seen = now
	if until := now.Add(said.Left); until.Sub(h.until).Abs() > 5*time.Second {
		h.until = until
		e.publishSoon()
	}
	if a := netip.AddrPortFrom(from, said.Port); !slices.Contains(h.addrs, a) && len(h.addrs) < heardAddrs {
		h.addrs = append(h.addrs, a)
		if h.join != nil {
			h.join.wire.AddCandidates(said.Device, a)
		}
	}
}

// heardClosed forgets an opening, by the word of who said it. A join under way is
// told by its session.
func (e *Engine) heardClosed(from netip.Addr, h *heardOpening, hash [32]byte) {
	if h != nil && h.join == nil && slices.ContainsFunc(h.addrs, func(a netip.AddrPort) bool { return a.Addr() == from }) {
		delete(e.heard, hash)
		e.publishSoon()
	}
}

// toldNearby wakes those who wait for an opening.
func (e *Engine) toldNearby() {
	close(e.heardNew)
	e.heardNew = make(chan struct{})
	e.publishSoon()
}

// sweepSoon forgets openings that are said no more.
func (e *Engine) sweepSoon() {
	if e.sweep != nil {
		return
	}
	e.sweep = time.AfterFunc(sweepEvery, func() {
		e.post(func() {
			e.sweep = nil
			now := time.Now()
			for hash, h := range e.heard {
				if h.join == nil && (now.Sub(h.seen) > heardFor || now.After(h.until) || e.inNetwork(h.said.Network)) {
					delete(e.heard, hash)
					e.publishSoon()
				}
			}
			if len(e.heard) > 0 && !e.stopping {
				e.sweepSoon()
			}
		})
	})
}

func (e *Engine) inNetwork(id roster.ID) bool {
	n, ok := e.byID(id)
	return ok && n.me() != nil
}

// nearbyStatus is what the snapshot says of nearby joining.
func (e *Engine) nearbyStatus() ipc.Nearby {
	var out ipc.Nearby
	for _, n := range e.nets {
		o := n.open()
		if o == nil {
			continue
		}
		out.Open = append(out.Open, o.status(n.alias))
		for _, a := range o.asking {
			out.Asking = append(out.Asking, a.status(n.alias))
		}
	}
	for _, h := range e.heard {
		if e.inNetwork(h.said.Network) {
			continue
		}
		s := ipc.NearbyNetwork{ID: h.id, Name: h.said.Name, By: h.said.By, Until: h.until.UTC().Truncate(time.Second)}
		if h.digits != "" {
			s.Digits = new(h.digits)
		}
		if h.code != "" {
			s.Code = new(h.code)
		}
		out.Networks = append(out.Networks, s)
	}
	slices.SortFunc(out.Networks, func(a, b ipc.NearbyNetwork) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

// openingNamed finds an opening by its ID or its network's name; "" is the only
// one. It is nil where none is heard yet.
func (e *Engine) openingNamed(name string) (*heardOpening, error) {
	var found []*heardOpening
	for _, h := range e.heard {
		switch {
		case e.inNetwork(h.said.Network):
		case h.id == name:
			return h, nil
		case name == "" || h.said.Name == name:
			found = append(found, h)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	return nil, ipc.Errorf(ipc.CodeAmbiguous, "%d networks are open on this LAN: say which one by its ID, as kith nearby list shows it", len(found))
}

// beginNearby asks to join an opening: an invite whose key all on the LAN know,
// and that admits nobody without the admin's word.
func (e *Engine) beginNearby(h *heardOpening, name string, confirm bool) (*joining, error) {
	l := &link.Join{
		Network: h.said.Network, Name: h.said.Name, Invite: h.said.Key, Expires: h.until,
		Sponsor: h.said.Device, SponsorName: h.said.By, SponsorControl: h.said.Control, Endpoints: slices.Clone(h.addrs),
	}
	under := 0
	for _, j := range e.joins {
		if j.near != nil {
			under++
		}
	}
	switch {
	case h.join != nil || e.joins[l.Invite.Public()] != nil:
		return nil, ipc.Errorf(ipc.CodeBusy, "this device asks to join %s already", l.Name)
	case under >= nearbyJoinMost:
		return nil, ipc.Errorf(ipc.CodeBusy, "this device asks to join %d networks already", under)
	}
	if err := e.mayJoin(l); err != nil {
		return nil, err
	}
	h.digits, h.code = "", ""
	j, err := e.startJoin(l, store.Join{Network: l.Network, Device: key.New(), Keys: newKeys(1), Name: name, Since: time.Now()}, &asksNearby{h: h, confirm: confirm, word: make(chan bool, 1)})
	if err != nil {
		return nil, err
	}
	h.join = j
	return j, nil
}

// asksNearby is what a join has to it that follows an opening.
type asksNearby struct {
	h       *heardOpening
	confirm bool      // a person here has to say that the digits are the same
	word    chan bool // holds one
}

// askNearby shows the digits and waits for the admin.
func (j *joining) askNearby(ctx context.Context, s wire.Session, req join.Request) (join.Answer, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	yes := make(chan struct{})
	said := make(chan struct{})
	go func() {
		defer close(said)
		select {
		case same := <-j.near.word:
			if same {
				close(yes)
			} else {
				cancel(ipc.Errorf(ipc.CodeDigitsDiffer, "the digits were not those on %s: it is not what it says, or somebody stands in between", j.link.SponsorName))
			}
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(nil); <-said }()
	o := join.Opening{Network: j.link.Network, Key: j.link.Invite.Public(), Admin: j.link.Sponsor, Control: j.link.SponsorControl}
	a, err := join.AskNearby(ctx, s, o, req, j.e.cfg.Host.OS(), func(digits string) {
		j.e.post(func() {
			if j.near.h.join == j {
				j.near.h.digits = digits
				j.e.publishNow()
			}
		})
	})
	if err == nil && j.near.confirm {
		select {
		case <-yes:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if cause := context.Cause(ctx); err != nil && ipc.CodeOf(cause) == ipc.CodeDigitsDiffer {
		return a, cause
	}
	return a, err
}

// endNearby notes how a try ended.
func (j *joining) endNearby(why error) {
	h := j.near.h
	h.join, h.digits = nil, ""
	if code := ipc.CodeOf(why); code != ipc.CodeInternal {
		h.code = code
	}
	h.seen = time.Now() // the words for it are seen for a moment
}
