package engine

import (
	"net/netip"
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
