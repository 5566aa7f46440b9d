package simnet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// refusedFor tells whether the host shows that somebody was refused.
func (h *Host) refusedFor(code ipc.Code, label string, link bool) bool {
	return slices.ContainsFunc(h.given().Refused, func(r ipc.Refusal) bool {
		return r.Code == code && r.Label == label && r.Link == link && r.Device == "nas" && r.Key != "" && r.Text != "" && r.Count > 0
	})
}

// forgetVisits has a stopped host forget the keys that it is a guest with.
func (h *Host) forgetVisits() {
	h.tb.Helper()
	st, err := store.Open(h.state())
	var nets []store.Settings
	if err == nil {
		nets, err = st.Networks()
	}
	if err == nil {
		err = st.UpdateSecrets(nets[0].Network, func(s *store.Secrets) error { s.Visits = nil; return nil })
	}
	if err == nil {
		err = st.Close()
	}
	if err != nil {
		h.tb.Fatal(err)
	}
}

// TestSimShareNewKeysDenied: a device that was taken off a share stays off with new
// keys, too, and the owner sees that it came; its network's others keep the share.
func TestSimShareNewKeysDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		phone.Reach(sharedNAS, 2*time.Second)
		before := *nas.given().Guests[slices.IndexFunc(nas.given().Guests, func(g ipc.Guest) bool { return g.Label == "phone" })].IPv6
		if _, err := nas.Engine.ShareRevoke(t.Context(), server.Caller{}, ipc.ShareIDRequest{Share: "nas", Guest: "phone"}); err != nil {
			t.Fatal(err)
		}
		phone.Until(time.Minute, "the phone hears why", func() bool {
			s := phone.received()
			return s.Why != nil && *s.Why == ipc.CodeGuestDenied
		})
		phone.Stop()
		phone.forgetVisits()
		phone.Start()
		phone.Until(time.Minute, "it comes again and hears why", func() bool {
			s := phone.received()
			return s.Why != nil && *s.Why == ipc.CodeGuestDenied
		})
		nas.Until(time.Minute, "the owner sees it", func() bool { return nas.refusedFor(ipc.CodeGuestDenied, "phone", false) })
		if _, _, err := phone.Ping(sharedNAS); err == nil {
			t.Error("under new keys it reaches nas")
		}
		for _, g := range nas.given().Guests {
			if g.Label == "phone" || *g.IPv6 == before {
				t.Errorf("the owner has the guest %+v", g)
			}
		}
		anna.Reach(sharedNAS, 2*time.Second)
	})
}

// TestSimShareRefusalsSeen: the owner sees who was refused, on the device that
// refused and on the admin's that did not, also where that was away.
func TestSimShareRefusalsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		desk, bob := joinedBy(t, nas, "desk"), nas.net.Host("bob", lanOf(nas))
		bob.Start()
		bob.Create("bobs")
		admin(t, nas, "desk")
		link := nas.share(ipc.ShareRequest{Devices: []string{"nas"}, Guests: 1})
		mustAccept(t, anna, link)
		anna.Reach(sharedNAS, 2*time.Second)

		if _, err := bob.accept(link); ipc.CodeOf(err) != ipc.CodeLinkUsed {
			t.Errorf("a second acceptance: %v", err)
		}
		for _, h := range []*Host{nas, desk} {
			h.Until(time.Minute, "the second acceptance is seen", func() bool { return h.refusedFor(ipc.CodeLinkUsed, "bob", true) })
		}
		phone.Until(time.Minute, "the phone is one too many", func() bool {
			s := phone.received()
			return s.Why != nil && *s.Why == ipc.CodeLimit
		})
		for _, h := range []*Host{nas, desk} {
			h.Until(time.Minute, "so is the phone", func() bool { return h.refusedFor(ipc.CodeLimit, "phone", false) })
		}

		desk.Stop()
		if _, err := nas.Engine.ShareRevoke(t.Context(), server.Caller{}, ipc.ShareIDRequest{Share: "nas"}); err != nil {
			t.Fatal(err)
		}
		if _, err := bob.accept(link); ipc.CodeOf(err) != ipc.CodeLinkRevoked {
			t.Errorf("of a share that was taken back: %v", err)
		}
		desk.Start()
		for _, h := range []*Host{nas, desk} {
			h.Until(time.Minute, "that is seen by who was away, too", func() bool { return h.refusedFor(ipc.CodeLinkRevoked, "bob", true) })
		}
		for range 40 { // as often as one likes: it stays one
			bob.accept(link)
		}
		if r := nas.given().Refused; len(r) > 8 || r[0].Code != ipc.CodeLinkRevoked || r[0].Count < 40 {
			t.Errorf("after many tries: %+v", r)
		}
	})
}

// TestSimShareLimit: fewer of the friend's devices than come may: those that came
// first stay, the others are told why, and come again when more may.
func TestSimShareLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		anna.Reach(sharedNAS, 2*time.Second)
		phone.Reach(sharedNAS, 2*time.Second)
		nas.Until(time.Minute, "both are seen", func() bool { return len(nas.given().Guests) == 2 })
		limit := func(n int) error {
			_, err := nas.Engine.ShareLimit(t.Context(), server.Caller{}, ipc.ShareIDRequest{Share: "nas", Guests: n})
			return err
		}
		for _, n := range []int{0, -1, 65} {
			if err := limit(n); ipc.CodeOf(err) != ipc.CodeUsage {
				t.Errorf("for %d: %v", n, err)
			}
		}
		if err := limit(1); err != nil {
			t.Fatal(err)
		}
		hosts := map[string]*Host{"anna": anna, "phone": phone}
		var in, out *Host
		nas.Until(time.Minute, "one is left", func() bool {
			g := nas.given().Guests
			if len(g) != 1 {
				return false
			}
			in = hosts[g[0].Label]
			return true
		})
		if out = anna; in == anna {
			out = phone
		}
		out.Until(time.Minute, "the other hears why", func() bool {
			s := out.received()
			return s.Why != nil && *s.Why == ipc.CodeLimit
		})
		in.Reach(sharedNAS, 2*time.Second)
		if _, _, err := out.Ping(sharedNAS); err == nil {
			t.Error("one too many reaches nas")
		}
		if err := limit(2); err != nil {
			t.Fatal(err)
		}
		out.Reach(sharedNAS, 10*time.Minute)
		if g := nas.given(); len(g.Guests) != 2 || g.MaxGuests != 2 {
			t.Errorf("two may come, and the owner sees %+v", g)
		}
	})
}
