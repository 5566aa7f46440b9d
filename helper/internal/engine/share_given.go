package engine

import (
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

// shareCache is the shares of a view of the roster, and of which its policy lets
// nothing through.
type shareCache struct {
	view   *roster.View
	all    []*guest.State
	closed map[guest.SID]bool
}

// shares are the network's own shares, those that are over among them.
func (n *network) shares() []*guest.State {
	if v := n.book.View(); n.shareCache.view != v {
		n.shareCache = shareCache{v, guest.All(v), map[guest.SID]bool{}}
	}
	return n.shareCache.all
}

// allShares are the shares given and received.
func (n *network) allShares() []ipc.Share {
	out := []ipc.Share{}
	now := time.Now()
	for _, s := range n.shares() {
		if over := n.overSince(s); over.IsZero() || now.Sub(over) < overShown {
			out = append(out, n.given(s))
		}
	}
	return append(out, n.received()...)
}

// overSince is when a share has ended, zero if it has not.
func (n *network) overSince(s *guest.State) time.Time {
	switch {
	case s.Deny.All:
		if r := n.book.View().Setter(s.SID.KeyDeny()); r != nil {
			return roster.Time(r.Clock)
		}
	case s.Ended(time.Now()):
		return time.UnixMilli(s.Expires)
	case s.By == nil && s.Late(time.Now()):
		return time.UnixMilli(s.AcceptBy)
	}
	return time.Time{}
}

// given is a share of ours as clients see it.
func (n *network) given(s *guest.State) ipc.Share {
	v, now := n.book.View(), time.Now()
	out := ipc.Share{
		ID: s.SID.String(), Name: s.Name, Network: n.alias, Devices: []ipc.SharedDevice{}, Ports: s.Ports.Strings(), Exit: s.Exit, Both: s.Both,
		Direction: "out", State: shareState(s, now), Label: labelOf(s), Words: []string{}, Guests: []ipc.Guest{}, Refused: []ipc.Refusal{}, MaxGuests: int(s.MaxGuests),
	}
	if s.Expires != 0 {
		out.Expires = moment(time.UnixMilli(s.Expires))
	}
	if s.By == nil {
		out.AcceptBy = moment(time.UnixMilli(s.AcceptBy))
	}
	if out.State == ipc.SharePending && v.Member(s.Sponsor) == nil {
		out.State = ipc.ShareExpired // who was to take the acceptance has left: nobody can accept it
	}
	if out.State == ipc.ShareConfirm {
		out.Words = n.words(s)
	}
	for _, m := range s.Targets(v) {
		d := ipc.SharedDevice{Name: m.Name, IPv4: addr(m.IPv4), IPv6: addr(m.IPv6), Path: ipc.PathNone, Online: m.Key == n.self && n.on != nil}
		if m.Key != n.self && n.on != nil {
			if st, ok := n.on.wire.PeerStatus(m.Key); ok {
				var p ipc.Peer
				n.fillPath(&p, st, n.on.replica.Linked()[m.Key])
				d.Online, d.Path, d.Via, d.LatencyMS = p.Online, p.Path, p.Via, p.LatencyMS
			}
		}
		out.Devices = append(out.Devices, d)
	}
	if s.Over(now) == nil && out.State != ipc.ShareExpired && n.closedByPolicy(s) {
		out.Why, out.WhyArgs = new(ipc.CodePolicy), map[string]string{"network": n.alias}
	}
	n.fillGuests(&out, s.SID)
	out.Refused = n.refusedBy(s.SID)
	return out
}

func shareState(s *guest.State, now time.Time) ipc.ShareState {
	switch {
	case s.Deny.All:
		return ipc.ShareRevoked
	case s.Ended(now), s.By == nil && s.Late(now):
		return ipc.ShareExpired
	case s.By == nil:
		return ipc.SharePending
	case !s.Accepted():
		return ipc.ShareConfirm
	}
	return ipc.ShareActive
}

// words are the fingerprint words of an acceptance: they take some milliseconds.
func (n *network) words(s *guest.State) []string {
	k := s.By.Issuer
	if w, ok := n.shareWords[k]; ok {
		return w
	}
	w := guest.Words(n.id, s.SID, s.By.Issuer, s.By.Door)
	if n.shareWords == nil {
		n.shareWords = map[key.Public][]string{}
	}
	n.shareWords[k] = w
	return w
}
