package simnet

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// TestSimShareLongAway: a friend whose devices were all off for longer than the
// owner's word is trusted asks for a newer one, and has the share again.
func TestSimShareLongAway(t *testing.T) {
	if testing.Short() {
		t.Skip("it goes through eight days")
	}
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		anna.Reach(sharedNAS, 2*time.Second)
		phone.Reach(sharedNAS, 2*time.Second)
		anna.Stop()
		phone.Stop()
		time.Sleep(8 * 24 * time.Hour)

		nas.Stop()
		anna.Start()
		time.Sleep(time.Minute)
		if s := anna.received(); s.Why == nil || *s.Why != ipc.CodeTimeout {
			t.Errorf("nobody has answered for a week, and the friend sees %+v", s)
		}
		phone.Start()
		nas.Start()
		for _, h := range []*Host{anna, phone} {
			d, _ := h.Reach(sharedNAS, time.Minute)
			t.Logf("%s reaches it after %v", h.name, d)
			if s := h.received(); s.Why != nil {
				t.Errorf("%s sees %+v", h.name, s)
			}
		}
	})
}

// TestSimShareRevokedWhileAway: who was away while a share was taken back hears of
// it when it comes again.
func TestSimShareRevokedWhileAway(t *testing.T) {
	if testing.Short() {
		t.Skip("it goes through eight days")
	}
	synctest.Test(t, func(t *testing.T) {
		nas, anna, _ := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		anna.Reach(sharedNAS, 2*time.Second)
		anna.Stop()
		if _, err := nas.Engine.ShareRevoke(t.Context(), server.Caller{}, ipc.ShareIDRequest{Share: "nas"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(8 * 24 * time.Hour)
		anna.Start()
		anna.Until(time.Minute, "anna hears of it", func() bool { return anna.received().State == ipc.ShareRevoked })
		if _, _, err := anna.Ping(sharedNAS); err == nil {
			t.Error("the share was taken back, and nas answers")
		}
	})
}

// TestSimShareGivenUp: a share that was given up does not come back from an admin's
// device that was away, nor on a plain one, nor by the same link.
func TestSimShareGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		tablet := joinedBy(t, anna, "tablet")
		admin(t, anna, "phone")
		link := nas.share(ipc.ShareRequest{Devices: []string{"nas"}})
		mustAccept(t, anna, link)
		for _, h := range []*Host{anna, phone, tablet} {
			h.Reach(sharedNAS, 5*time.Second)
		}
		phone.Stop()
		tablet.Stop()
		if _, err := anna.Engine.ShareRemove(t.Context(), server.Caller{}, ipc.ShareIDRequest{Share: "nas"}); err != nil {
			t.Fatal(err)
		}
		anna.Until(time.Minute, "anna has given it up", func() bool { return anna.received().ID == "" })
		if _, err := anna.accept(link); ipc.CodeOf(err) != ipc.CodeLinkUsed {
			t.Errorf("the same link again: %v", err)
		}
		anna.Restart()
		phone.Start()
		tablet.Start()
		for _, h := range []*Host{phone, tablet} {
			h.Until(time.Minute, "it hears of that", func() bool { return h.received().ID == "" })
		}
		time.Sleep(10 * time.Minute)
		for _, h := range []*Host{anna, phone, tablet} {
			if s := h.received(); s.ID != "" {
				t.Errorf("%s has it again: %+v", h.name, s)
			}
		}
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		phone.Reach(sharedNAS, 10*time.Second)
	})
}

// TestSimShareLabel: what a friend calls itself is a label, whatever its case; what
// cannot be one is refused before anything is founded for it.
func TestSimShareLabel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		nas, anna := net.Host("nas", l), net.Host("anna", l)
		nas.Start()
		anna.Start()
		nas.Create("home")
		link := nas.share(ipc.ShareRequest{Devices: []string{"nas"}})
		accept := func(label string) error {
			_, err := anna.Engine.ShareAccept(t.Context(), server.Caller{}, ipc.ShareAcceptRequest{Link: link, Label: label})
			return err
		}
		for _, label := range []string{"Anna B", "-", "<b>"} {
			if err := accept(label); ipc.CodeOf(err) != ipc.CodeNameInvalid {
				t.Errorf("%q: %v", label, err)
			}
		}
		if w := anna.Status().Networks; len(w) > 0 {
			t.Errorf("what was refused has founded %+v", w)
		}
		if err := accept("Anna"); err != nil || nas.given().Label != "anna" {
			t.Errorf("%v; the owner sees %q", err, nas.given().Label)
		}
	})
}

// TestSimShareApproveOver: what was taken back is not approved any more, and a link
// that was given up while it waited is said to be used.
func TestSimShareApproveOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, _ := sharing(t)
		link := nas.share(ipc.ShareRequest{Devices: []string{"nas"}, Confirm: true})
		if s, err := anna.accept(link); err != nil || s.State != ipc.ShareConfirm {
			t.Fatalf("%+v, %v", s, err)
		}
		if _, err := anna.Engine.ShareRemove(t.Context(), server.Caller{}, ipc.ShareIDRequest{Share: "nas"}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := anna.accept(link); ipc.CodeOf(err) != ipc.CodeLinkUsed {
				t.Errorf("given up, and accepted again: %v", err)
			}
			anna.Restart()
		}
		if s := nas.given(); len(s.Refused) > 0 {
			t.Errorf("its own former acceptance is told the owner as somebody's: %+v", s.Refused)
		}
		revoke := ipc.ShareIDRequest{Share: "nas"}
		if _, err := nas.Engine.ShareRevoke(t.Context(), server.Caller{}, revoke); err != nil {
			t.Fatal(err)
		}
		if _, err := nas.Engine.ShareApprove(t.Context(), server.Caller{}, revoke); ipc.CodeOf(err) != ipc.CodeShareRevoked {
			t.Errorf("approved after it was taken back: %v", err)
		}
	})
}

// TestSimShareAllLeft: where all that was shared has left, the friend is told so.
func TestSimShareAllLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, _ := sharing(t)
		joinedBy(t, nas, "desk")
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"desk"}}))
		anna.Reach("desk.home.internal", 5*time.Second)
		if _, err := nas.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "desk"}); err != nil {
			t.Fatal(err)
		}
		anna.Until(time.Minute, "anna hears of it", func() bool {
			s := anna.received()
			return s.Why != nil && *s.Why == ipc.CodeNotShared
		})
	})
}

// TestSimShareAuthorLeft: when the admin who shared is removed, what was accepted
// stays, and what was not can be accepted no more, and is shown so.
func TestSimShareAuthorLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		desk := joinedBy(t, nas, "desk")
		admin(t, nas, "desk")
		time.Sleep(5 * time.Second)
		states := func(want ...ipc.ShareState) bool {
			seen := map[ipc.ShareState]int{}
			for _, s := range nas.Status().Networks[0].Shares {
				seen[s.State]++
			}
			for _, s := range want {
				seen[s]--
			}
			for _, n := range seen {
				if n != 0 {
					return false
				}
			}
			return true
		}
		mustAccept(t, anna, desk.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		desk.share(ipc.ShareRequest{Devices: []string{"nas"}, Ports: []string{"80/tcp"}})
		phone.Reach(sharedNAS, 5*time.Second)
		nas.Until(time.Minute, "nas knows both shares", func() bool { return states(ipc.ShareActive, ipc.SharePending) })
		if _, err := nas.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "desk"}); err != nil {
			t.Fatal(err)
		}
		nas.Until(time.Minute, "one is left", func() bool { return states(ipc.ShareActive, ipc.ShareExpired) })
		phone.Reach(sharedNAS, 5*time.Second)
	})
}

// TestSimShareSecondEarly: a guest that shows the pass of a second share before the
// word that it was accepted has reached what is shared is no stranger: the owner is
// told of nobody, and it comes in when the word does. What its network takes back of
// a device that it has removed, told with each pass, is not judged before either.
func TestSimShareSecondEarly(t *testing.T) {
	for name, cancels := range map[string]bool{"passes": false, "passes and cancels": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { secondEarly(t, cancels) })
		})
	}
}

func secondEarly(t *testing.T, cancels bool) {
	nas, anna, phone := sharing(t)
	desk := joinedBy(t, nas, "desk")
	admin(t, nas, "desk")
	if cancels {
		joinedBy(t, anna, "tablet")
		if _, err := anna.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "tablet"}); err != nil {
			t.Fatal(err)
		}
	}
	mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}, Ports: []string{"80/tcp"}}))
	phone.Reach(sharedNAS, 5*time.Second)
	anna.Reach(sharedNAS, 5*time.Second)
	time.Sleep(time.Minute)
	for range 5 {
		mustAccept(t, anna, desk.share(ipc.ShareRequest{Devices: []string{"nas"}, Ports: []string{"22/tcp"}}))
	}
	nas.Until(10*time.Second, "both come by all six", func() bool {
		come := 0
		for _, s := range nas.Status().Networks[0].Shares {
			come += len(s.Guests)
		}
		return come == 12
	})
	for range 2 {
		for _, s := range nas.Status().Networks[0].Shares {
			if len(s.Refused) > 0 {
				t.Errorf("the owner is told of %+v", s.Refused)
			}
		}
		time.Sleep(time.Minute) // refusals are told late
	}
}

// TestSimShareOwnerGone: when the last device that answers for a share leaves the
// owner's network, or is removed from it, the friend's devices hear that it has ended,
// those that were away from their own admin's.
func TestSimShareOwnerGone(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, nas, desk *Host) error{
		"left": func(t *testing.T, _, desk *Host) error {
			_, err := desk.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{})
			return err
		},
		"removed": func(t *testing.T, nas, _ *Host) error {
			_, err := nas.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "desk"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				nas, anna, phone := sharing(t)
				desk, tablet := joinedBy(t, nas, "desk"), joinedBy(t, anna, "tablet")
				admin(t, nas, "desk")
				admin(t, anna, "phone")
				time.Sleep(5 * time.Second)
				mustAccept(t, anna, desk.share(ipc.ShareRequest{Devices: []string{"desk"}}))
				for _, h := range []*Host{anna, phone, tablet} {
					h.Reach("desk.home.internal", 10*time.Second)
				}
				tablet.Stop()
				if err := end(t, nas, desk); err != nil {
					t.Fatal(err)
				}
				over := func(h *Host) func() bool {
					return func() bool {
						s := h.received()
						return s.State == ipc.ShareRevoked && s.Why != nil && *s.Why == ipc.CodeShareRevoked
					}
				}
				anna.Until(time.Minute, "anna hears of it", over(anna))
				phone.Until(time.Minute, "the phone hears of it", over(phone))
				anna.Restart()
				tablet.Start()
				tablet.Until(time.Minute, "the tablet hears of it", over(tablet))
				time.Sleep(time.Minute)
				for _, h := range []*Host{anna, phone, tablet} {
					if !over(h)() {
						t.Errorf("later %s sees %+v", h.name, h.received())
					}
				}
			})
		})
	}
}

// TestSimShareOneLeaves: of several devices one leaves: for those that were told by it,
// the share goes on.
func TestSimShareOneLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		desk := joinedBy(t, nas, "desk")
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas", "desk"}}))
		for _, h := range []*Host{anna, phone} {
			h.Reach(sharedNAS, 5*time.Second)
			h.Reach("desk.home.internal", 5*time.Second)
		}
		if _, err := desk.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
			t.Fatal(err)
		}
		for _, h := range []*Host{anna, phone} {
			h.Until(time.Minute, "one is left", func() bool {
				s := h.received()
				return len(s.Devices) == 1 && s.State == ipc.ShareActive && s.Why == nil
			})
			h.Reach(sharedNAS, 5*time.Second)
		}
	})
}
