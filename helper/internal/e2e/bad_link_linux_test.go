package e2e

import (
	"strings"
	"testing"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/link"
	"kith.internal/ipc"
)

// alter spells a link again, with something changed.
func alter(t *testing.T, text string, change func(*link.Join)) string {
	t.Helper()
	l, err := link.ParseJoin(text)
	if err != nil {
		t.Fatal(err)
	}
	change(l)
	out, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// share is a whole link of the other kind.
func share(t *testing.T, text string) string {
	t.Helper()
	l, err := link.ParseJoin(text)
	if err != nil {
		t.Fatal(err)
	}
	s := link.Share{
		Network: l.Network, NetworkName: l.Name, ID: [16]byte{1}, Name: "printer", Key: key.New(), Expires: l.Expires,
		Sponsor: l.Sponsor, SponsorName: l.SponsorName, SponsorControl: l.SponsorControl, Endpoints: l.Endpoints,
	}
	out, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNetnsLinkThatIsNoGood(t *testing.T) {
	b := newBed(t)
	a, c := b.node("laptop"), b.node("nas")
	a.start()
	c.start()
	a.create("home")
	good := a.invite()
	for _, tc := range []struct {
		name, link string
		code       int
		words      []string
	}{
		{"empty", "", ipc.ExitUsage, []string{"nothing came from standard input"}},
		{"not a link", "https://example.com/", ipc.ExitUsage, []string{"not a whole Kith link", "Copy the whole link"}},
		{"truncated", good[:len(good)-9], ipc.ExitUsage, []string{"not a whole Kith link", "Copy the whole link"}},
		{"a letter changed", good[:40] + swap(good[40]) + good[41:], ipc.ExitUsage, []string{"a part is missing or altered"}},
		{"very long", "kith://join/" + strings.Repeat("A", 50_000), ipc.ExitUsage, []string{"Kith link"}},
		{"share", share(t, good), ipc.ExitFailed, []string{"shares a device", "Ask whoever sent it"}},
		{"expired", alter(t, good, func(l *link.Join) { l.Expires = time.Now().Add(-time.Hour) }), ipc.ExitFailed,
			[]string{"expired at", "clock says", "Ask for a new link"}},
		{"another network than the sponsor's", alter(t, good, func(l *link.Join) { l.Network[0] ^= 1 }), ipc.ExitFailed,
			[]string{"laptop", "Ask whoever sent it"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c.t = t
			began := time.Now()
			c.refuse(c.tryIn(tc.link, "join", "-"), tc.code, tc.words...)
			if d := time.Since(began); d > slow*5*time.Second {
				t.Errorf("it took %s to say so", d)
			}
			if st := c.status(); len(st.Networks)+len(st.Joining) > 0 {
				t.Errorf("something is left: %+v", st)
			}
		})
	}
	c.t = t
	c.joinBy(good)
	c.reach("laptop.home.internal", patience)

	d := b.node("tv")
	d.start()
	d.refuse(d.tryIn(good, "join", "-"), ipc.ExitFailed, "has been used", "Ask for a new link")
	c.refuse(c.tryIn(good, "join", "-"), ipc.ExitFailed, "already")
	d.joinBy(a.invite())
	d.reach("nas.home.internal", patience)
}

// swap is another letter of the same alphabet.
func swap(c byte) string {
	if c == 'A' {
		return "B"
	}
	return "A"
}

// The only device that answers for an invite is gone: the request waits, says
// for whom, and can be taken back.
func TestNetnsLinkOfRemovedSponsor(t *testing.T) {
	b := newBed(t)
	a, c := b.pair()
	d := b.node("tv")
	d.start()
	link := a.invite()
	a.kith("leave", "--yes")
	d.refuse(d.tryIn(link, "join", "--wait", "2s", "-"), ipc.ExitTimeout, "laptop", "kith leave")
	d.kith("leave")
	if st := d.status(); len(st.Joining) > 0 {
		t.Errorf("the request is still there: %+v", st.Joining)
	}
	if st := c.status(); len(st.Networks) != 1 {
		t.Errorf("the other member lost the network: %+v", st)
	}
}
