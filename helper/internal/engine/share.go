package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

const (
	acceptDefault = 24 * time.Hour
	acceptLongest = 365 * 24 * time.Hour

	sharesMost = 256 // in force, of one network

	// overShown is how long a share that is over is still listed.
	overShown = 7 * 24 * time.Hour
)

// ShareCreate offers devices to a friend and answers the link. Its sponsor is a
// device that is always on and may share, where there is one, else this one.
func (e *Engine) ShareCreate(ctx context.Context, _ server.Caller, req ipc.ShareRequest) (ipc.ShareAnswer, error) {
	w := sharing{e: e, sid: guest.NewSID(), key: key.New()}
	var err error
	if w.n, err = call(ctx, e, func() (*network, error) { return e.upNetwork(req.Network) }); err != nil {
		return ipc.ShareAnswer{}, err
	}
	other, err := call(ctx, e, func() (key.Public, error) {
		if w.share, err = w.n.readShare(req, w.key.Public()); err != nil {
			return key.Public{}, err
		}
		return w.n.alwaysOnFor(roster.CapShare), nil
	})
	if err != nil {
		return ipc.ShareAnswer{}, err
	}
	// In step before and after, as with invites.
	if !other.IsZero() && w.acknowledged(ctx, other) {
		if err := w.write(ctx, other); err != nil {
			return ipc.ShareAnswer{}, err
		}
		if w.acknowledged(ctx, other) {
			return w.answer(ctx)
		}
	}
	if err := w.write(ctx, w.n.self); err != nil {
		return ipc.ShareAnswer{}, err
	}
	return w.answer(ctx)
}

// sharing is a share in the making.
type sharing struct {
	e     *Engine
	n     *network
	sid   guest.SID
	key   key.Private // the link's
	share guest.Share
}

func (w *sharing) acknowledged(ctx context.Context, id key.Public) bool {
	i := inviting{e: w.e, n: w.n}
	return i.acknowledged(ctx, id)
}

// write writes the record; again, with another sponsor, over the first.
func (w *sharing) write(ctx context.Context, sponsor key.Public) error {
	_, err := call(ctx, w.e, func() (struct{}, error) {
		w.share.Sponsor = sponsor
		value, err := w.share.Encode()
		if err != nil {
			return struct{}{}, ipc.Errorf(ipc.CodeUsage, "%w", err)
		}
		if _, err := w.n.shareLink(w.key, &guest.State{SID: w.sid, Share: &w.share}).Encode(); errors.Is(err, link.ErrTooLong) {
			return struct{}{}, ipc.Errorf(ipc.CodeUsage, "%w: name fewer port ranges, or give shorter names", err)
		}
		return struct{}{}, w.n.write(func(a *roster.Author) error { _, err := a.Set(w.sid.Key(), value); return err })
	})
	return err
}

func (w *sharing) answer(ctx context.Context) (ipc.ShareAnswer, error) {
	return call(ctx, w.e, func() (ipc.ShareAnswer, error) {
		n := w.n
		n.refresh()
		s := guest.Read(n.book.View(), w.sid)
		if n.me() == nil || n.on == nil || s == nil {
			return ipc.ShareAnswer{}, ipc.Errorf(ipc.CodeNotMember, "this device is no member of %s any more", n.alias)
		}
		text, err := n.shareLink(w.key, s).Encode()
		if err != nil {
			return ipc.ShareAnswer{}, err
		}
		return ipc.ShareAnswer{Schema: ipc.Schema, Link: text, Share: n.given(s)}, nil
	})
}

// shareLink is a share's link.
func (n *network) shareLink(k key.Private, s *guest.State) *link.Share {
	by := time.UnixMilli(s.AcceptBy)
	j := n.joinLink(k, by, s.Sponsor)
	l := &link.Share{
		Network: n.id, NetworkName: n.name(), ID: s.SID, Name: s.Name, Key: k, Expires: by, Sponsor: j.Sponsor,
		SponsorName: j.SponsorName, SponsorControl: j.SponsorControl, Endpoints: j.Endpoints, Relays: j.Relays,
		Ports: s.Ports.Pack(), Exit: s.Exit, Both: s.Both, Confirm: s.Confirm,
	}
	if more := len(s.Targets(n.book.View())) - 1; more > 0 {
		l.More = uint8(more)
	}
	if s.Expires != 0 {
		l.Ends = time.UnixMilli(s.Expires)
	}
	return l
}

// readShare makes a share of what a person asks for.
func (n *network) readShare(req ipc.ShareRequest, k key.Public) (guest.Share, error) {
	var none guest.Share
	v := n.book.View()
	if v.Caps(n.self)&roster.CapShare == 0 {
		return none, ipc.Errorf(ipc.CodeNotAdmin, "this device may share nothing of %s", n.alias)
	}
	ports, err := guest.ParsePorts(req.Ports)
	if err != nil {
		return none, ipc.Errorf(ipc.CodeUsage, "%w", err)
	}
	if ports.None() && !req.Exit {
		return none, ipc.Errorf(ipc.CodeUsage, "that shares nothing: name ports, or share an exit node")
	}
	now := time.Now()
	acceptBy, err := within(req.AcceptBy, acceptDefault, acceptLongest, "a link can be accepted")
	if err != nil {
		return none, err
	}
	s := guest.Share{
		Key: k, Ports: ports, AcceptBy: now.Add(acceptBy).UnixMilli(), PassMax: guest.PassDefault.Milliseconds(),
		MaxGuests: uint16(req.Guests), Exit: req.Exit, Both: req.Both, Confirm: req.Confirm,
	}
	if req.Guests == 0 {
		s.MaxGuests = guest.GuestsDefault
	}
	if req.Guests < 0 || req.Guests > guest.GuestsMost {
		return none, ipc.Errorf(ipc.CodeUsage, "a share is for 1 to %d of a friend's devices", guest.GuestsMost)
	}
	if req.Expires != 0 {
		life, err := within(req.Expires, 0, 10*acceptLongest, "a share lasts")
		if err != nil {
			return none, err
		}
		s.Expires = now.Add(life).UnixMilli()
	}
	if err := n.addTargets(&s, req.Devices); err != nil {
		return none, err
	}
	live := 0
	for _, o := range n.shares() {
		if o.Over(now) == nil {
			live++
		}
	}
	if live >= sharesMost {
		return none, ipc.Errorf(ipc.CodeLimit, "%s has %d shares already", n.alias, live)
	}
	return s, nil
}

// within is a duration as asked for, or the default.
func within(asked ipc.Seconds, otherwise, most time.Duration, what string) (time.Duration, error) {
	d := time.Duration(asked) * time.Second
	if d == 0 {
		d = otherwise
	}
	if asked < 0 || asked > ipc.Seconds(most/time.Second) || d < time.Minute {
		return 0, ipc.Errorf(ipc.CodeUsage, "%s between a minute and %d days", what, int(most.Hours()/24))
	}
	return d, nil
}

const tagMark = "tag:"

// addTargets finds what is to be shared: devices by name, or all with a tag.
func (n *network) addTargets(s *guest.Share, names []string) error {
	v := n.book.View()
	if len(names) == 0 {
		return ipc.Errorf(ipc.CodeUsage, "say which devices to share")
	}
	for _, name := range names {
		if tag, ok := strings.CutPrefix(name, tagMark); ok {
			if err := roster.ValidLabel(tag); err != nil {
				return writeError(err)
			}
			if !slices.Contains(s.Tags, tag) {
				s.Tags = append(s.Tags, tag)
			}
			continue
		}
		if name == "" {
			return ipc.Errorf(ipc.CodeUsage, "a device's name is empty")
		}
		k, err := n.deviceNamed(name)
		if err != nil {
			return err
		}
		if s.Name == "" {
			s.Name = v.NameOf(k)
		}
		if !slices.Contains(s.Devices, k) {
			s.Devices = append(s.Devices, k)
		}
	}
	if len(s.Devices)+len(s.Tags) > guest.TargetsMost {
		return ipc.Errorf(ipc.CodeUsage, "a share is of at most %d devices", guest.TargetsMost)
	}
	for _, m := range v.Members {
		if s.Name == "" && s.Has(m) {
			s.Name = m.Name
		}
	}
	if s.Name == "" {
		return ipc.Errorf(ipc.CodeNotFound, "no device has such a tag")
	}
	return nil
}

// ShareList lists what is shared and what friends share.
func (e *Engine) ShareList(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.ShareList, error) {
	return call(ctx, e, func() (ipc.ShareList, error) {
		out := ipc.ShareList{Schema: ipc.Schema, Shares: []ipc.Share{}}
		nets := e.nets
		if req.Network != "" {
			n, err := e.named(req.Network)
			if err != nil {
				return out, err
			}
			nets = []*network{n}
		}
		for _, n := range nets {
			out.Shares = append(out.Shares, n.allShares()...)
		}
		return out, nil
	})
}

// ShareApprove says that the words are the same as the friend's.
func (e *Engine) ShareApprove(ctx context.Context, _ server.Caller, req ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return e.onShare(ctx, req, func(n *network, s *guest.State) error {
		over := s.Over(time.Now())
		switch {
		case over != nil:
			return over
		case s.By == nil:
			return ipc.Errorf(ipc.CodeNotFound, "nobody has accepted that share yet")
		case s.Accepted():
			return nil
		}
		by := *s.By
		by.Approved = true
		value, err := by.Encode()
		if err != nil {
			return err
		}
		return n.write(func(a *roster.Author) error { _, err := a.Set(s.SID.KeyBy(), value); return err })
	})
}

// ShareLimit changes how many of the friend's devices may come: those that came first
// stay.
func (e *Engine) ShareLimit(ctx context.Context, _ server.Caller, req ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	if req.Guests < 1 || req.Guests > guest.GuestsMost {
		return ipc.ShareAnswer{}, ipc.Errorf(ipc.CodeUsage, "a share is for 1 to %d of a friend's devices", guest.GuestsMost)
	}
	return e.onShare(ctx, req, func(n *network, s *guest.State) error {
		share := *s.Share
		share.MaxGuests = uint16(req.Guests)
		value, err := share.Encode()
		if err != nil || share.MaxGuests == s.MaxGuests {
			return err
		}
		return n.write(func(a *roster.Author) error { _, err := a.Set(s.SID.Key(), value); return err })
	})
}

// ShareRevoke ends a share, or takes one guest off it.
func (e *Engine) ShareRevoke(ctx context.Context, _ server.Caller, req ipc.ShareIDRequest) (ipc.ShareAnswer, error) {
	return e.onShare(ctx, req, func(n *network, s *guest.State) error {
		if s.Deny.All {
			return nil
		}
		d := guest.Deny{All: true}
		if req.Guest != "" {
			k, err := n.guestNamed(s, req.Guest)
			if err != nil {
				return err
			}
			if len(s.Deny.Guests) >= guest.GuestsMost {
				return ipc.Errorf(ipc.CodeLimit, "%d devices were taken off that share already: end it and make a new one", len(s.Deny.Guests))
			}
			d = guest.Deny{Guests: append(slices.Clone(s.Deny.Guests), k), Devices: slices.Clone(s.Deny.Devices)}
			if g := n.visitors[guestID{k, s.SID}]; g != nil && !slices.Contains(d.Devices, g.pass.Device) {
				d.Devices = append(d.Devices, g.pass.Device)
			}
		}
		value, err := d.Encode()
		if err != nil {
			return err
		}
		return n.write(func(a *roster.Author) error { _, err := a.Set(s.SID.KeyDeny(), value); return err })
	})
}

// guestNamed finds who comes by a share: by address, or by its label where that
// is clear.
func (n *network) guestNamed(s *guest.State, name string) (key.Public, error) {
	var found []key.Public
	for id, g := range n.visitors {
		if id.sid != s.SID || g.why != nil {
			continue
		}
		if guest.Addr(n.id, id.key).String() == name {
			return id.key, nil
		}
		if g.pass.Label == name {
			found = append(found, id.key)
		}
	}
	switch len(found) {
	case 0:
		return key.Public{}, ipc.Errorf(ipc.CodeNotFound, "no device %.70q comes by that share", name)
	case 1:
		return found[0], nil
	}
	return key.Public{}, ipc.Errorf(ipc.CodeAmbiguous, "%d devices call themselves %.70q: give the address that kith share list --json shows", len(found), name)
}

// onShare runs fn on the actor with a share of this network's found.
func (e *Engine) onShare(ctx context.Context, req ipc.ShareIDRequest, fn func(*network, *guest.State) error) (ipc.ShareAnswer, error) {
	return call(ctx, e, func() (ipc.ShareAnswer, error) {
		n, s, err := e.shareNamed(req)
		if err != nil {
			return ipc.ShareAnswer{}, err
		}
		if err := fn(n, s); err != nil {
			return ipc.ShareAnswer{}, err
		}
		n.refresh()
		e.publishNow()
		if s = guest.Read(n.book.View(), s.SID); s == nil {
			return ipc.ShareAnswer{}, ipc.Errorf(ipc.CodeNotFound, "the share is gone")
		}
		return ipc.ShareAnswer{Schema: ipc.Schema, Share: n.given(s)}, nil
	})
}

// shareNamed finds a share that was given: by its ID's beginning, by a device's
// name, or by what the friend calls itself.
func (e *Engine) shareNamed(req ipc.ShareIDRequest) (*network, *guest.State, error) {
	nets := e.nets
	if req.Network != "" {
		n, err := e.named(req.Network)
		if err != nil {
			return nil, nil, err
		}
		nets = []*network{n}
	}
	type hit struct {
		n *network
		s *guest.State
	}
	var live, over []hit
	for _, n := range nets {
		for _, s := range n.shares() {
			names := []string{s.Name, labelOf(s)}
			for _, m := range s.Targets(n.book.View()) {
				names = append(names, m.Name) // they may have been renamed
			}
			if !meansShare(req.Share, s.SID.String(), names...) {
				continue
			}
			if s.Over(time.Now()) == nil {
				live = append(live, hit{n, s})
			} else {
				over = append(over, hit{n, s})
			}
		}
	}
	if len(live) == 0 {
		live = over
	}
	switch len(live) {
	case 0:
		return nil, nil, ipc.Errorf(ipc.CodeNotFound, "there is no share %.70q", req.Share)
	case 1:
		return live[0].n, live[0].s, nil
	}
	return nil, nil, ipc.Errorf(ipc.CodeAmbiguous, "%.70q is more than one share: give the beginning of its ID, which kith share list shows", req.Share)
}

// meansShare tells whether a person means a share by what is asked for.
func meansShare(asked, id string, others ...string) bool {
	return asked != "" && (len(asked) >= 4 && strings.HasPrefix(id, asked) || slices.Contains(others, asked))
}

func labelOf(s *guest.State) string {
	if s.By == nil {
		return ""
	}
	return s.By.Label
}
