package simnet

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// TestSimShareCarried: a member passes on what a friend and a shared device send
// each other by its user's choice alone, and neither sees more of it than a way.
func TestSimShareCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		meeting, left, right := net.LAN("meeting"), net.LAN("left"), net.LAN("right")
		nas, mid, anna := net.Host("nas", meeting), net.Host("mid", meeting), net.Host("anna", meeting)
		for _, h := range []*Host{nas, mid, anna} {
			h.Start()
		}
		nas.Create("home")
		anna.Create("annas")
		if err := mid.Join(nas.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		anna.Reach(sharedNAS, 2*time.Second)
		carry := func(guests bool) {
			t.Helper()
			a, err := mid.Engine.Forward(t.Context(), server.Caller{}, ipc.ForwardRequest{On: true, Guests: &guests})
			if err != nil || a.Forward.Guests != guests {
				t.Fatalf("%+v, %v", a, err)
			}
			time.Sleep(5 * time.Second)
		}
		carry(true)
		if s := anna.received(); len(s.Devices) != 1 || s.Devices[0].Name != "nas" || len(anna.Network("").Peers) > 0 {
			t.Errorf("the friend sees %+v", s)
		}

		anna.Attach(left)
		mid.Attach(left)
		mid.Attach(right)
		nas.Attach(right)
		for _, h := range []*Host{anna, mid, nas} {
			h.Detach(meeting)
		}
		took, _ := anna.Reach(sharedNAS, time.Minute)
		anna.Until(time.Minute, "the path is forwarded", func() bool {
			s := anna.received()
			return len(s.Devices) == 1 && s.Devices[0].Path == ipc.PathForwarded
		})
		t.Logf("over mid after %v", took)
		carry(false)
		time.Sleep(time.Minute)
		if _, _, err := anna.Ping(sharedNAS); err == nil {
			t.Error("mid passes a friend's packets on, and was told not to")
		}
		if _, err := mid.Engine.Forward(t.Context(), server.Caller{}, ipc.ForwardRequest{Guests: new(true)}); ipc.CodeOf(err) != ipc.CodeUsage {
			t.Errorf("friends' packets without members': %v", err)
		}
	})
}
