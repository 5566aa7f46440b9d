package engine

import (
	"maps"
	"net/netip"
	"strings"
	"testing"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
)

// TestBothTakesConsent: what a friend's roster says later opens nothing towards this
// device that the link did not say when it was accepted.
func TestBothTakesConsent(t *testing.T) {
	target := guest.Target{Key: key.New().Public(), Name: "nas"}
	id := roster.ID{1}
	target.IP = roster.Addr6(id, target.Key)
	for _, c := range []struct{ link, now, in bool }{{true, true, true}, {false, true, false}, {true, false, false}, {false, false, false}} {
		s := &stay{id: id, self: key.New().Public(), addr: netip.MustParseAddr("fd00::1"), four: fours{}}
		w := s.world([]shareHere{{&store.VisitShare{Both: c.link}, &guest.View{Both: c.now, Targets: []guest.Target{target}}}})
		if len(w.Guests) != 1 || w.Guests[0].In != c.in || !w.Guests[0].Out {
			t.Errorf("%+v: the filter has %+v", c, w.Guests)
		}
	}
}

// TestLabels: each device has a name of its own, whatever a friend's views say: the one
// that came first keeps it, what a later view calls a device counts.
func TestLabels(t *testing.T) {
	a, b, c := key.Public{1}, key.Public{2}, key.Public{3}
	long := strings.Repeat("n", 63)
	share := func(made int64, targets ...guest.Target) shareHere {
		return shareHere{&store.VisitShare{}, &guest.View{Made: made, Targets: targets}}
	}
	at := func(k key.Public, name string) guest.Target { return guest.Target{Key: k, Name: name} }
	for _, test := range []struct {
		shares []shareHere
		want   map[key.Public]string
	}{
		{[]shareHere{share(1, at(a, "nas"), at(b, "desk"))}, map[key.Public]string{a: "nas", b: "desk"}},
		{[]shareHere{share(1, at(a, "nas")), share(2, at(b, "nas"))}, map[key.Public]string{a: "nas", b: "nas-aiaa"}},
		{[]shareHere{share(2, at(a, "nas")), share(1, at(b, "nas"))}, map[key.Public]string{a: "nas", b: "nas-aiaa"}},
		{[]shareHere{share(1, at(a, "nas")), share(2, at(b, "nas"), at(a, "old"))}, map[key.Public]string{a: "old", b: "nas"}},
		{[]shareHere{share(1, at(a, "nas"), at(c, "nas-aiaa")), share(2, at(b, "nas"))}, map[key.Public]string{a: "nas", c: "nas-aiaa", b: "nas-aiaaa"}},
		{[]shareHere{share(1, at(a, long)), share(2, at(b, long))}, map[key.Public]string{a: long, b: long[:58] + "-aiaa"}},
	} {
		got := labelsOf(test.shares)
		if !maps.Equal(got, test.want) {
			t.Errorf("%+v: %v", test.want, got)
		}
		for _, name := range got {
			if err := roster.ValidLabel(name); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestSponsorThatLeft: nobody is called for a sponsor that has left, which a view
// leaves out.
func TestSponsorThatLeft(t *testing.T) {
	nas, desk := key.New().Public(), key.New().Public()
	for _, sponsor := range []key.Public{{}, desk} {
		v := &guest.View{Targets: []guest.Target{{Key: nas}}, Sponsor: guest.Contact{Key: sponsor}}
		got := answering(v)
		want := 1
		if sponsor == desk {
			want = 2
		}
		if len(got) != want || got[0].ID != nas || got[len(got)-1].ID.IsZero() {
			t.Errorf("with the sponsor %q: %+v", sponsor.Short(), got)
		}
	}
}
