package engine

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

const (
	inviteDefault = 24 * time.Hour
	inviteLongest = 365 * 24 * time.Hour

	// ackWithin is how long an always-on device has to say that it holds an
	// invite: a person waits.
	ackWithin = 1500 * time.Millisecond

	relaysInLink = 2
)

// Invite writes an invite and answers its link. Its sponsor is a device that is
// always on, where one says that it holds the invite, else this one.
func (e *Engine) Invite(ctx context.Context, _ server.Caller, req ipc.InviteRequest) (ipc.InviteAnswer, error) {
	life := time.Duration(req.Expires) * time.Second
	if life == 0 {
		life = inviteDefault
	}
	if life < time.Minute || life > inviteLongest {
		return ipc.InviteAnswer{}, ipc.Errorf(ipc.CodeUsage, "an invite lasts between a minute and a year")
	}
	if req.Uses < 0 || req.Uses > ipc.InviteUses {
		return ipc.InviteAnswer{}, ipc.Errorf(ipc.CodeUsage, "an invite has 1 to %d uses, or unlimited", ipc.InviteUses)
	}
	w := inviting{e: e, req: req, expires: time.Now().Add(life)}
	var err error
	w.n, err = call(ctx, e, func() (*network, error) { return e.upNetwork(req.Network) })
	if err != nil {
		return ipc.InviteAnswer{}, err
	}
	other, err := call(ctx, e, func() (key.Public, error) { return w.n.alwaysOn(), nil })
	if err != nil {
		return ipc.InviteAnswer{}, err
	}
	// In step before and after: then it has what was written in between.
	if !other.IsZero() && w.acknowledged(ctx, other) {
		if err := w.write(ctx, other); err != nil {
			return ipc.InviteAnswer{}, err
		}
		if w.acknowledged(ctx, other) {
			return w.answer(ctx, other)
		}
	}
	if err := w.write(ctx, w.n.self); err != nil {
		return ipc.InviteAnswer{}, err
	}
	return w.answer(ctx, w.n.self)
}

// inviting is an invite in the making.
type inviting struct {
	e       *Engine
	n       *network
	req     ipc.InviteRequest
	expires time.Time
	key     key.Private
	id      roster.ID
}

func (w *inviting) acknowledged(ctx context.Context, id key.Public) bool {
	on, err := call(ctx, w.e, func() (*live, error) { return w.n.on, nil })
	if err != nil || on == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	return on.replica.Await(ctx, id) == nil
}

// write writes the record with a fresh key.
func (w *inviting) write(ctx context.Context, sponsor key.Public) error {
	w.key = key.New()
	q := roster.InviteRequest{Key: w.key.Public(), Uses: uint64(w.req.Uses), Expires: w.expires, Tags: w.req.Tags}
	if w.req.Uses > 0 {
		q.Sponsor = sponsor
	}
	_, err := call(ctx, w.e, func() (struct{}, error) {
		return struct{}{}, w.n.write(func(a *roster.Author) error {
			r, err := a.Invite(q)
			if err == nil {
				w.id = r.ID
			}
			return err
		})
	})
	return err
}

func (w *inviting) answer(ctx context.Context, sponsor key.Public) (ipc.InviteAnswer, error) {
	return call(ctx, w.e, func() (ipc.InviteAnswer, error) {
		w.n.refresh()
		if w.n.me() == nil || w.n.on == nil {
			return ipc.InviteAnswer{}, ipc.Errorf(ipc.CodeNotMember, "this device is no member of %s any more", w.n.alias)
		}
		text, err := w.n.joinLink(w.key, w.expires, sponsor).Encode()
		if err != nil {
			return ipc.InviteAnswer{}, err
		}
		return ipc.InviteAnswer{Schema: ipc.Schema, ID: w.id.String(), Link: text, Expires: w.expires.UTC().Truncate(time.Second)}, nil
	})
}

// alwaysOn is the nearest relay that may admit and is linked with this device,
// zero for none, or where this device is such a one itself.
func (n *network) alwaysOn() key.Public {
	return n.alwaysOnFor(roster.CapAdmit | roster.CapSponsor)
}

// alwaysOnFor is the same for relays with one of some capabilities.
func (n *network) alwaysOnFor(caps roster.Caps) key.Public {
	if n.on == nil || n.relayApproved() {
		return key.Public{}
	}
	linked := n.on.replica.Linked()
	now := time.Now()
	for _, m := range n.relaysByUse() {
		if linked[m.Key] && m.Caps&caps != 0 && !expired(m, now) {
			return m.Key
		}
	}
	return key.Public{}
}

// relaysByUse is the other relays: those that the wire keeps first, then the
// nearest.
func (n *network) relaysByUse() []*roster.Member {
	var out []*roster.Member
	for _, m := range n.book.View().Members {
		if m.Key != n.self && n.serves(m) {
			out = append(out, m)
		}
	}
	report := map[key.Public]wire.RelayReport{}
	for _, r := range n.on.wire.Net().Relays {
		report[r.ID] = r
	}
	slices.SortStableFunc(out, func(a, b *roster.Member) int {
		return cmp.Compare(useOf(report[a.Key]), useOf(report[b.Key]))
	})
	return out
}

// useOf orders relays: lower is better.
func useOf(r wire.RelayReport) time.Duration {
	far := r.UDP
	if far == 0 {
		far = r.TLS
	}
	switch {
	case far == 0:
		far = time.Hour
	case !r.Kept:
		far += time.Minute
	}
	return far
}

// joinLink is an invite's link: how to reach its sponsor straight, and by relays.
func (n *network) joinLink(k key.Private, expires time.Time, sponsor key.Public) *link.Join {
	m := n.book.View().Member(sponsor)
	l := &link.Join{
		Network: n.id, Name: n.name(), Invite: k, Expires: expires,
		Sponsor: sponsor, SponsorName: m.Name, SponsorControl: m.Control,
	}
	relays := n.relaysByUse()
	if relaying := sponsor == n.self && n.relayApproved() || sponsor != n.self && n.serves(m); relaying {
		l.Endpoints = slices.Clone(m.Relay.Addrs)
		relays = append([]*roster.Member{m}, slices.DeleteFunc(relays, func(o *roster.Member) bool { return o == m })...)
	}
	if sponsor == n.self {
		l.Endpoints = append(l.Endpoints, n.endpoints()...)
	} else {
		l.Endpoints = append(l.Endpoints, n.learnt[sponsor].Endpoints...)
	}
	// The same twice would take the room of another.
	seen := map[netip.AddrPort]bool{}
	l.Endpoints = slices.DeleteFunc(l.Endpoints, func(a netip.AddrPort) bool {
		again := seen[a]
		seen[a] = true
		return again
	})
	for _, r := range relays[:min(len(relays), relaysInLink)] {
		l.Relays = append(l.Relays, link.Relay{Key: r.Key, Control: r.Control, Pin: r.Relay.Pin, Host: r.Relay.Host, Addrs: r.Relay.Addrs})
	}
	return l
}
