package server

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"kith.internal/ipc"
)

// diff is the event that leads from old to new, both as redact leaves them, and
// whether there is anything to say. Without an old state, or where a delta
// cannot say it, it is a snapshot. It shares memory with new.
func diff(old, new *ipc.Status) (ipc.Event, bool) {
	if old == nil || old.Version != new.Version || old.Schema != new.Schema {
		return ipc.Event{Snapshot: new}, true
	}
	var ev ipc.Event
	changed := false
	if old.State != new.State {
		ev.State, changed = &new.State, true
	}
	if !slices.Equal(old.May, new.May) {
		ev.May, changed = &new.May, true
	}
	if !slices.EqualFunc(old.Joining, new.Joining, joiningEqual) {
		ev.Joining, changed = &new.Joining, true
	}
	if !nearbyEqual(&old.Nearby, &new.Nearby) {
		ev.Nearby, changed = &new.Nearby, true
	}
	if old.Portal.Noticed != new.Portal.Noticed || old.Portal.By != new.Portal.By || !sameTime(old.Portal.OpenUntil, new.Portal.OpenUntil) {
		ev.Portal, changed = &new.Portal, true
	}
	if !slices.EqualFunc(old.Health, new.Health, healthEqual) {
		ev.Health, changed = &new.Health, true
	}
	return ev, diffNetworks(&ev, old.Networks, new.Networks) || changed
}

func diffNetworks(ev *ipc.Event, old, new []ipc.Network) bool {
	was := make(map[string]*ipc.Network, len(old))
	for i := range old {
		was[old[i].ID] = &old[i]
	}
	for i := range new {
		n := &new[i]
		o := was[n.ID]
		delete(was, n.ID)
		if o == nil || !networkEqual(o, n) {
			ev.Networks = append(ev.Networks, *n)
			continue
		}
		peers, ok := diffPeers(o, n)
		if !ok {
			ev.Networks = append(ev.Networks, *n)
			continue
		}
		ev.Peers = append(ev.Peers, peers...)
	}
	ev.Removed = slices.Sorted(maps.Keys(was))
	return len(ev.Networks)+len(ev.Peers)+len(ev.Removed) > 0
}

// diffPeers are the peers of n that are new or differ from o's. It fails where
// one is gone: then the whole network has to be sent.
func diffPeers(o, n *ipc.Network) ([]ipc.PeerDelta, bool) {
	if len(n.Peers) < len(o.Peers) {
		return nil, false
	}
	var out []ipc.PeerDelta
	was := make(map[string]*ipc.Peer, len(o.Peers))
	for i := range o.Peers {
		was[o.Peers[i].Key] = &o.Peers[i]
	}
	if len(was) != len(o.Peers) {
		return nil, false // keys do not tell them apart
	}
	seen := make(map[string]bool, len(n.Peers))
	for i := range n.Peers {
		p := &n.Peers[i]
		op := was[p.Key]
		delete(was, p.Key)
		seen[p.Key] = true
		if op == nil || !peerEqual(op, p) {
			out = append(out, ipc.PeerDelta{Network: n.ID, Peer: *p})
		}
	}
	return out, len(was) == 0 && len(seen) == len(n.Peers)
}

func networkEqual(a, b *ipc.Network) bool {
	return a.Name == b.Name && a.Alias == b.Alias && a.ID == b.ID && a.Active == b.Active &&
		selfEqual(&a.Self, &b.Self) &&
		reflect.DeepEqual(a.Exit, b.Exit) && a.Shields == b.Shields &&
		a.Relay.On == b.Relay.On && a.Relay.Pending == b.Relay.Pending && a.Relay.Listen == b.Relay.Listen && a.Relay.Limit == b.Relay.Limit && a.Forward == b.Forward && slices.Equal(a.Relay.Advertised, b.Relay.Advertised) &&
		reflect.DeepEqual(a.Routes, b.Routes) && slices.EqualFunc(a.Shares, b.Shares, shareEqual)
}

func selfEqual(a, b *ipc.Self) bool {
	return a.Name == b.Name && a.FQDN == b.FQDN && same(a.IPv4, b.IPv4) && same(a.IPv6, b.IPv6) && same(a.DNS, b.DNS) &&
		a.Role == b.Role && a.Key == b.Key && a.Port == b.Port && sameTime(a.Expires, b.Expires)
}

func peerEqual(a, b *ipc.Peer) bool {
	return a.Name == b.Name && a.FQDN == b.FQDN && same(a.IPv4, b.IPv4) && same(a.IPv6, b.IPv6) &&
		a.Online == b.Online && a.Active == b.Active && a.Path == b.Path && same(a.Via, b.Via) &&
		same(a.Transport, b.Transport) && same(a.Why, b.Why) && a.Relay == b.Relay && a.Exit == b.Exit &&
		same(a.Endpoint, b.Endpoint) && same(a.LatencyMS, b.LatencyMS) && same(a.RxBytes, b.RxBytes) &&
		same(a.TxBytes, b.TxBytes) && sameTime(a.LastHandshake, b.LastHandshake) && sameTime(a.LastSeen, b.LastSeen) &&
		same(a.OS, b.OS) && slices.Equal(a.Tags, b.Tags) && a.Role == b.Role && a.Key == b.Key && a.AddedBy == b.AddedBy
}

func shareEqual(a, b ipc.Share) bool {
	if !sameTime(a.Expires, b.Expires) || !sameTime(a.AcceptBy, b.AcceptBy) || !sameTime(a.LastUsed, b.LastUsed) ||
		!slices.EqualFunc(a.Guests, b.Guests, guestEqual) || !slices.EqualFunc(a.Refused, b.Refused, refusalEqual) || !maps.Equal(a.WhyArgs, b.WhyArgs) {
		return false
	}
	for _, s := range []*ipc.Share{&a, &b} {
		s.Expires, s.AcceptBy, s.LastUsed, s.Guests, s.Refused, s.WhyArgs = nil, nil, nil, nil, nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func guestEqual(a, b ipc.Guest) bool {
	return a.Label == b.Label && same(a.IPv6, b.IPv6) && a.Online == b.Online && sameTime(a.LastSeen, b.LastSeen)
}

func refusalEqual(a, b ipc.Refusal) bool {
	at := a.At.Equal(b.At)
	a.At, b.At = time.Time{}, time.Time{}
	return at && a == b
}

func nearbyEqual(a, b *ipc.Nearby) bool {
	return slices.EqualFunc(a.Open, b.Open, func(x, y ipc.NearbyOpen) bool {
		return x.Network == y.Network && x.Left == y.Left && x.Until.Equal(y.Until)
	}) && slices.EqualFunc(a.Networks, b.Networks, func(x, y ipc.NearbyNetwork) bool {
		return x.ID == y.ID && x.Name == y.Name && x.By == y.By && x.Until.Equal(y.Until) && same(x.Digits, y.Digits) && same(x.Code, y.Code)
	}) && slices.Equal(a.Asking, b.Asking)
}

func joiningEqual(a, b ipc.Joining) bool {
	return a.Network == b.Network && a.ID == b.ID && a.Sponsor == b.Sponsor && a.Stage == b.Stage &&
		a.Since.Equal(b.Since) && a.Expires.Equal(b.Expires)
}

func healthEqual(a, b ipc.Health) bool {
	return a.Code == b.Code && a.Severity == b.Severity && a.Text == b.Text && a.Network == b.Network && maps.Equal(a.Args, b.Args)
}

func same[T comparable](a, b *T) bool {
	return a == b || a != nil && b != nil && *a == *b
}

func sameTime(a, b *time.Time) bool {
	return a == b || a != nil && b != nil && a.Equal(*b)
}
