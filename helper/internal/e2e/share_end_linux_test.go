package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kith.internal/helper/internal/guest"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
)

// rewrites has n, which does not run, write the end of its network's only share anew.
// No command sets one that is so near: clocks have ten minutes' grace.
func (n *node) rewrites(end time.Time) {
	n.t.Helper()
	st, err := store.Open(n.state())
	must(n.t, err)
	defer func() { must(n.t, st.Close()) }()
	nets, err := st.Networks()
	must(n.t, err)
	id := nets[0].Network
	secrets, err := st.Secrets(id)
	must(n.t, err)
	records, err := st.Records(id)
	must(n.t, err)
	set, err := roster.NewSet(records[0].Raw)
	must(n.t, err)
	for _, r := range records[1:] {
		_, err := set.Add(r.Raw, roster.AddOptions{Verified: r.Verified, At: r.Arrival})
		must(n.t, err)
	}
	s := guest.All(set.View())[0]
	s.Expires = end.Add(-guest.Grace).UnixMilli()
	value, err := s.Encode()
	must(n.t, err)
	r, err := roster.NewAuthor(set, secrets.Device, time.Now).Set(s.SID.Key(), value)
	must(n.t, err)
	must(n.t, st.PutRecords(id, store.Record{ID: r.ID, Raw: r.Raw, Arrival: time.Now(), Verified: true, Class: store.Wanted}))
}

// TestNetnsShareExpires: a share's end cuts a running download on the second, with
// the admins of both networks away.
func TestNetnsShareExpires(t *testing.T) {
	within(t, "from a share's end to the last byte", time.Second, func(t *testing.T) time.Duration {
		b := newBed(t)
		s, nas, anna, phone := b.start("s"), b.start("nas"), b.start("anna"), b.start("phone")
		s.create("home")
		nas.join(s)
		anna.create("annas")
		phone.join(anna)
		nas.serveDrip(80)
		anna.kithIn(s.share("nas", "--port", "80/tcp"), "share", "accept", "-")
		until(t, "phone has a way to nas", patience, func() bool {
			s := phone.received()
			return len(s.Devices) == 1 && s.Devices[0].Path != ipc.PathNone
		})
		d := phone.download(netip.AddrPortFrom(nas.overlay(), 80))
		s.term()
		end := time.Now().Add(25 * time.Second).Truncate(time.Millisecond)
		s.rewrites(end)
		s.start()
		knows := func(list []ipc.Share) bool {
			return len(list) == 1 && list[0].Expires != nil && list[0].Expires.Equal(end.Add(-guest.Grace))
		}
		for _, n := range []*node{nas, phone} {
			until(t, n.name+" knows the end", patience, func() bool { return knows(read[ipc.ShareList](n, "share", "list").Shares) })
		}
		s.kill()
		anna.kill()
		if left := time.Until(end); left < 2*time.Second {
			t.Logf("too late to see it run: %v are left", left)
			return time.Hour
		}
		until(t, "it runs until shortly before", patience, func() bool {
			if idle := time.Since(time.Unix(0, d.last.Load())); idle > 3*time.Second {
				t.Fatalf("nothing has come for %v, %v before the share's end", idle, time.Until(end))
			}
			return time.Until(end) < 500*time.Millisecond
		})
		took := d.stops(t, end)
		for _, n := range []*node{nas, phone} {
			if s := read[ipc.ShareList](n, "share", "list").Shares; len(s) != 1 || s[0].State != ipc.ShareExpired {
				t.Errorf("%s shows %+v", n.name, s)
			}
		}
		if s := phone.received(); s.Why == nil || *s.Why != ipc.CodeShareExpired {
			t.Errorf("phone is told %+v", s)
		}
		if got := phone.fetch(nasURL); got != "" {
			t.Errorf("after the end there is %.40q", got)
		}
		return took
	})
}

// connects tells whether n gets what is served on a port, from one of its addresses
// of the system's choice or from a given one.
func (n *node) connects(from, to netip.Addr, port uint16, want string) bool {
	n.t.Helper()
	line := []string{"curl", "-s", "-g", "--max-time", "2"}
	if from.IsValid() {
		line = append(line, "--interface", from.String())
	}
	return strings.TrimSpace(n.exec("", append(line, fmt.Sprintf("http://%s/", net.JoinHostPort(to.String(), fmt.Sprint(port))))...).out) == want
}

// TestNetnsShareBoth: with --both the shared device opens connections to the friend's
// devices, at the ports of the share and no others; nobody else of the owner's does,
// and of another share, one way, nothing comes.
func TestNetnsShareBoth(t *testing.T) {
	b, nas, anna, phone, _ := friends(t)
	desk := b.start("desk")
	desk.join(nas)
	for _, n := range []*node{anna, phone, nas, desk} {
		for _, port := range []int{8080, 8081, 8082} {
			n.serveHTTP(port, n.name)
		}
	}
	anna.kithIn(nas.share("nas", "--port", "8080-8081/tcp", "--both"), "share", "accept", "-")
	anna.kithIn(nas.share("desk", "--port", "8080/tcp"), "share", "accept", "-")
	for _, n := range []*node{anna, phone} {
		n.gets("http://nas.home.internal:8080/", "nas", patience)
		n.gets("http://desk.home.internal:8080/", "desk", patience)
		at := n.guestAddr()
		for _, port := range []uint16{8080, 8081} {
			until(t, fmt.Sprintf("nas reaches %s at %d", n.name, port), patience, func() bool { return nas.connects(netip.Addr{}, at, port, n.name) })
		}
		if nas.connects(netip.Addr{}, at, 8082, n.name) {
			t.Errorf("nas reaches %s at a port that was not agreed", n.name)
		}
		if !nas.ping(at.String()) {
			t.Errorf("nas does not reach %s with an echo", n.name)
		}
		for _, port := range []uint16{8080, 8081, 8082} {
			if desk.connects(netip.Addr{}, at, port, n.name) {
				t.Errorf("desk, shared one way, reaches %s at %d", n.name, port)
			}
			if nas.connects(netip.Addr{}, n.overlay(), port, n.name) {
				t.Errorf("nas reaches %s at its address in its own network", n.name)
			}
		}
		if desk.ping(at.String()) {
			t.Errorf("desk, shared one way, reaches %s with an echo", n.name)
		}
		if n.connects(netip.Addr{}, nas.overlay(), 8082, "nas") || n.connects(netip.Addr{}, desk.overlay(), 8081, "desk") {
			t.Errorf("%s reaches a port that is not shared", n.name)
		}
	}
	if got := nas.scanOpen(nas.overlay(), phone.guestAddr()); len(got) != 2 || got[0] != 8080 || got[1] != 8081 {
		t.Errorf("the friend's phone answers nas at %v", got)
	}
	nas.kith("share", "revoke", "nas", "--yes")
	at := phone.guestAddr()
	until(t, "nas reaches phone no more", patience, func() bool { return !nas.connects(netip.Addr{}, at, 8080, "phone") })
	phone.gets("http://desk.home.internal:8080/", "desk", patience)
}
