package simnet

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// share offers a device of the host's network and returns the link.
func (h *Host) share(req ipc.ShareRequest) string {
	h.tb.Helper()
	if req.Ports == nil {
		req.Ports = []string{"all"}
	}
	a, err := h.Engine.ShareCreate(h.tb.Context(), server.Caller{}, req)
	if err != nil {
		h.tb.Fatalf("%s: share: %v", h.name, err)
	}
	return a.Link
}

// accept takes a share.
func (h *Host) accept(link string) (ipc.Share, error) {
	a, err := h.Engine.ShareAccept(h.tb.Context(), server.Caller{}, ipc.ShareAcceptRequest{Link: link})
	return a.Share, err
}

// received is the host's only share of a friend's, its zero value for none.
func (h *Host) received() ipc.Share {
	for _, n := range h.Status().Networks {
		for _, s := range n.Shares {
			if s.Direction == "in" {
				return s
			}
		}
	}
	return ipc.Share{}
}

// given is the host's only share, its zero value for none.
func (h *Host) given() ipc.Share {
	for _, n := range h.Status().Networks {
		for _, s := range n.Shares {
			if s.Direction == "out" {
				return s
			}
		}
	}
	return ipc.Share{}
}

// lanOf is the host's only LAN.
func lanOf(h *Host) *LAN {
	for l := range h.addrs {
		return l
	}
	return nil
}

const sharedNAS = "nas.home.internal"

// sharing is an owner's nas, and a friend's network of two, on one LAN.
func sharing(t *testing.T) (nas, anna, phone *Host) {
	t.Helper()
	net := New(t)
	l := net.LAN("lan")
	nas, anna, phone = net.Host("nas", l), net.Host("anna", l), net.Host("phone", l)
	for _, h := range []*Host{nas, anna, phone} {
		h.Start()
	}
	nas.Create("home")
	anna.Create("annas")
	if err := phone.Join(anna.Invite("", 1)); err != nil {
		t.Fatal(err)
	}
	return nas, anna, phone
}

// joinedBy is one more device of h's network, on h's LAN.
func joinedBy(t *testing.T, h *Host, name string) *Host {
	t.Helper()
	other := h.net.Host(name, lanOf(h))
	other.Start()
	if err := other.Join(h.Invite("", 1)); err != nil {
		t.Fatal(err)
	}
	return other
}

// admin makes a device of h's network an admin.
func admin(t *testing.T, h *Host, device string) {
	t.Helper()
	if _, err := setRole(h, device, ipc.RoleAdmin, ""); err != nil {
		t.Fatal(err)
	}
}

func mustAccept(t *testing.T, h *Host, link string) {
	t.Helper()
	if _, err := h.accept(link); err != nil {
		t.Fatalf("%s: accept: %v", h.name, err)
	}
}

// TestSimShareLasts: passes are renewed at half their life for as long as an admin
// of the friend's is there; without one they end, and come back with one.
func TestSimShareLasts(t *testing.T) {
	if testing.Short() {
		t.Skip("it goes through four days")
	}
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		phone.Reach(sharedNAS, 2*time.Second)
		time.Sleep(49 * time.Hour) // longer than a pass
		phone.Reach(sharedNAS, 2*time.Second)
		anna.Reach(sharedNAS, 2*time.Second)

		anna.Stop()
		time.Sleep(23 * time.Hour) // at least half of a pass is left
		phone.Reach(sharedNAS, 2*time.Second)
		time.Sleep(26 * time.Hour)
		if _, _, err := phone.Ping(sharedNAS); err == nil {
			t.Error("the pass is over, and nas answers")
		}
		if s := phone.received(); s.Why == nil {
			t.Errorf("the pass is over, and nothing says so: %+v", s)
		}
		if g := nas.given().Guests; len(g) != 0 {
			t.Errorf("the pass is over, and nas has the guests %+v", g)
		}
		anna.Start()
		d, _ := phone.Reach(sharedNAS, time.Minute)
		t.Logf("the admin is back: reached after %v", d)
	})
}

// TestSimShareExpires: at its end, and ten minutes for the clocks, a share ends
// with nobody's help, for what runs over it, too.
func TestSimShareExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}, Expires: 3600}))
		phone.Reach(sharedNAS, 2*time.Second)
		anna.Stop()
		p := phone.Pings(sharedNAS)
		defer p.cancel()
		end := nas.given().Expires.Add(10 * time.Minute)
		time.Sleep(time.Until(end.Add(-time.Second)))
		if _, _, err := phone.Ping(sharedNAS); err != nil {
			t.Errorf("within the clocks' grace: %v", err)
		}
		time.Sleep(time.Until(end.Add(time.Second)))
		if _, _, err := phone.Ping(sharedNAS); err == nil {
			t.Error("the share is over, and nas answers")
		}
		if s := phone.received(); s.State != ipc.ShareExpired || s.Why == nil {
			t.Errorf("over, and the friend sees %+v", s)
		}
		if s := nas.given(); s.State != ipc.ShareExpired || len(s.Guests) != 0 {
			t.Errorf("over, and the owner sees %+v", s)
		}
	})
}

// TestSimShareWaits: an acceptance goes on while the friend's device is away, over
// restarts, and is done when that is back.
func TestSimShareWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, _ := sharing(t)
		link := nas.share(ipc.ShareRequest{Devices: []string{"nas"}})
		nas.Stop()
		if _, err := anna.accept(link); ipc.CodeOf(err) != ipc.CodeTimeout {
			t.Fatalf("with nas away: %v", err)
		}
		if s := anna.received(); s.State != ipc.ShareAsking || s.Label != "nas" {
			t.Errorf("under way: %+v", s)
		}
		anna.Restart()
		time.Sleep(time.Hour)
		nas.Start()
		d, _ := anna.Reach(sharedNAS, time.Minute)
		t.Logf("nas is back: reached after %v", d)
	})
}

// TestSimShareTooLate: a link that nobody has accepted in time is refused, by the
// friend's own clock and, where that is behind, by the owner's side.
func TestSimShareTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, _ := sharing(t)
		link := nas.share(ipc.ShareRequest{Devices: []string{"nas"}, AcceptBy: 3600})
		time.Sleep(time.Hour + 11*time.Minute)
		if _, err := anna.accept(link); ipc.CodeOf(err) != ipc.CodeLinkExpired {
			t.Errorf("too late: %v", err)
		}
		if s := nas.given(); s.State != ipc.ShareExpired {
			t.Errorf("the owner sees %+v", s)
		}
	})
}

// TestSimShareLeft: what is shared leaves the owner's network: the friend sees it
// go, and what else is shared stays.
func TestSimShareLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		joinedBy(t, nas, "desk")
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas", "desk"}}))
		phone.Reach(sharedNAS, 2*time.Second)
		phone.Reach("desk.home.internal", 2*time.Second)
		if _, err := nas.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "desk"}); err != nil {
			t.Fatal(err)
		}
		phone.Until(time.Minute, "one device is left", func() bool { return len(phone.received().Devices) == 1 })
		phone.Reach(sharedNAS, 2*time.Second)
		if _, _, err := phone.Ping("desk.home.internal"); ipc.CodeOf(err) != ipc.CodeNotFound {
			t.Errorf("a device that has left: %v", err)
		}
	})
}

// TestSimShareGuestOff: one of the friend's devices is taken off a share and stays
// off, also with a newer pass; the others keep it.
func TestSimShareGuestOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		phone.Reach(sharedNAS, 2*time.Second)
		anna.Reach(sharedNAS, 2*time.Second)
		nas.Until(time.Minute, "both are seen", func() bool { return len(nas.given().Guests) == 2 })
		off := func(guest string) error {
			_, err := nas.Engine.ShareRevoke(t.Context(), server.Caller{}, ipc.ShareIDRequest{Share: "nas", Guest: guest})
			return err
		}
		if err := off("tablet"); ipc.CodeOf(err) != ipc.CodeNotFound {
			t.Errorf("nobody is called that: %v", err)
		}
		if err := off("phone"); err != nil {
			t.Fatal(err)
		}
		phone.Until(time.Minute, "the phone hears why", func() bool {
			s := phone.received()
			return s.Why != nil && *s.Why == ipc.CodeGuestDenied
		})
		for range 2 {
			if _, _, err := phone.Ping(sharedNAS); err == nil {
				t.Error("a device that was taken off reaches nas")
			}
			anna.Reach(sharedNAS, 2*time.Second)
			if g := nas.given(); len(g.Guests) != 1 || g.Guests[0].Label != "anna" || g.State != ipc.ShareActive {
				t.Errorf("the owner sees %+v", g)
			}
			time.Sleep(25 * time.Hour) // a new pass
		}
	})
}

// TestSimShareSecond: a second share of a device that is reached already counts
// there within seconds.
func TestSimShareSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}, Ports: []string{"80/tcp"}}))
		phone.Reach(sharedNAS, 2*time.Second)
		anna.Reach(sharedNAS, 2*time.Second)
		time.Sleep(time.Hour) // the streams of the first share are open
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}, Ports: []string{"22/tcp"}}))
		nas.Until(10*time.Second, "both devices come by both shares", func() bool {
			come := 0
			for _, s := range nas.Status().Networks[0].Shares {
				come += len(s.Guests)
			}
			return come == 4
		})
		for _, h := range []*Host{anna, phone} {
			h.Until(10*time.Second, "the owner's side answers for both", func() bool {
				used := 0
				for _, s := range h.Status().Networks[0].Shares {
					if s.LastUsed != nil && s.Why == nil {
						used++
					}
				}
				return used == 2
			})
		}
	})
}

// TestSimShareGone: a shared device that stops says so, and is back at once when
// it starts again.
func TestSimShareGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, _ := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		anna.Reach(sharedNAS, 2*time.Second)
		online := func() bool { d := anna.received().Devices; return len(d) == 1 && d[0].Online }
		anna.Until(10*time.Second, "nas is online", online)
		for range 3 {
			if _, err := nas.Engine.Down(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
				t.Fatal(err)
			}
			anna.Until(time.Second, "nas is offline", func() bool { return !online() })
			time.Sleep(time.Minute)
			if _, err := nas.Engine.Up(t.Context(), server.Caller{}, ipc.UpRequest{}); err != nil {
				t.Fatal(err)
			}
			anna.Until(20*time.Second, "nas is back", online)
			anna.Reach(sharedNAS, 2*time.Second)
		}
	})
}
