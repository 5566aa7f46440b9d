package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/wire"
)

func (b *board) relay(name string) {
	b.t.Helper()
	info := roster.RelayInfo{Addrs: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:443")}, Pin: [32]byte{1}}
	if _, err := b.owner.ApproveRelay(b.key(name), &info); err != nil {
		b.t.Fatal(err)
	}
}

func (b *board) invite(sponsor key.Public, expires time.Time) key.Public {
	b.t.Helper()
	k := key.New().Public()
	if _, err := b.owner.Invite(roster.InviteRequest{Key: k, Sponsor: sponsor, Uses: 1, Expires: expires}); err != nil {
		b.t.Fatal(err)
	}
	return k
}

// TestDecideRelays: a member is a relay where it is approved and offers to be.
func TestDecideRelays(t *testing.T) {
	b := newBoard(t)
	b.admit("b", time.Time{})
	b.admit("s", time.Time{})
	b.relay("s")
	for _, offers := range []bool{true, false} {
		d := b.decide("b", func(in *input) {
			in.relays = func(m *roster.Member) bool { return m.Relay != nil && offers }
		})
		got := map[key.Public]*wire.Relay{}
		for _, p := range d.wire {
			if p.Relay != nil {
				got[p.ID] = p.Relay
			}
		}
		want := map[key.Public]*wire.Relay{}
		if offers {
			want[b.key("s")] = &wire.Relay{Addrs: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:443")}, Pin: [32]byte{1}}
		}
		if d := cmp.Diff(want, got, prefixes, cmp.Comparer(func(x, y netip.AddrPort) bool { return x == y })); d != "" {
			t.Errorf("offers %v: %s", offers, d)
		}
	}
}

// TestDecideJoiners: a relay passes the holder of an invite on to its sponsor
// and to nobody else; others know the invites alone that they answer for.
func TestDecideJoiners(t *testing.T) {
	b := newBoard(t)
	b.admit("b", time.Time{})
	b.admit("s", time.Time{})
	soon := b.now.Add(time.Hour)
	own, anyones := b.invite(b.key("a"), soon), b.invite(key.Public{}, soon)
	old := b.invite(b.key("a"), b.now.Add(-time.Hour))
	tests := []struct {
		name  string
		self  string
		relay bool
		want  map[key.Public][]key.Public
	}{
		{"the sponsor", "a", false, map[key.Public][]key.Public{own: nil, anyones: nil, old: nil}},
		{"the sponsor, a relay", "a", true, map[key.Public][]key.Public{own: nil, anyones: nil, old: nil}},
		{"a plain device", "b", false, map[key.Public][]key.Public{}},
		{"a relay", "s", true, map[key.Public][]key.Public{own: {b.key("a")}, anyones: {b.key("a")}}},
	}
	for _, tt := range tests {
		d := b.decide(tt.self, func(in *input) { in.relay = tt.relay })
		got := map[key.Public][]key.Public{}
		for _, p := range d.wire {
			if p.Shared {
				got[p.ID] = p.Only
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

// TestUseOfRelays: those that the wire keeps come first, then the nearest.
func TestUseOfRelays(t *testing.T) {
	order := []wire.RelayReport{
		{Kept: true, UDP: 20 * time.Millisecond},
		{Kept: true, TLS: 30 * time.Millisecond},
		{UDP: 10 * time.Millisecond},
		{UDP: 40 * time.Millisecond},
		{},
	}
	for i := range order[1:] {
		if useOf(order[i]) >= useOf(order[i+1]) {
			t.Errorf("%+v is not before %+v", order[i], order[i+1])
		}
	}
}
