package simnet

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// TestSimShareRenewed: a newer pass leaves no gap, and a device that comes with new
// keys is there at once, in its old place, and once.
func TestSimShareRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		tablet := nas.net.Host("tablet", lanOf(nas))
		tablet.Start()
		if err := tablet.Join(anna.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		// The tablet comes last, and is the one that a limit puts out.
		tablet.Stop()
		for _, h := range []*Host{anna, phone} {
			h.Reach(sharedNAS, 2*time.Second)
		}
		nas.Until(time.Minute, "two are seen", func() bool { return len(nas.given().Guests) == 2 })
		tablet.Start()
		tablet.Reach(sharedNAS, time.Minute)
		nas.Until(time.Minute, "the tablet, too", func() bool { return len(nas.given().Guests) == 3 })
		if _, err := nas.Engine.ShareLimit(t.Context(), server.Caller{}, ipc.ShareIDRequest{Share: "nas", Guests: 2}); err != nil {
			t.Fatal(err)
		}
		labels := func() (out []string) {
			for _, g := range nas.given().Guests {
				out = append(out, g.Label)
			}
			slices.Sort(out)
			return out
		}
		both := func() bool { return slices.Equal(labels(), []string{"anna", "phone"}) }
		nas.Until(time.Minute, "the tablet is out", both)

		for range 3 {
			phone.Stop()
			phone.forgetVisits()
			phone.Start()
			phone.Reach(sharedNAS, time.Minute)
			if !both() {
				t.Fatalf("after new keys the owner sees %v", labels())
			}
		}
		time.Sleep(23*time.Hour + 55*time.Minute) // passes are renewed after 24 h
		p := phone.Pings(sharedNAS)
		phone.Reach(sharedNAS, 2*time.Second)
		p.Mark()
		time.Sleep(10 * time.Minute)
		if gap := p.Gap(); gap > time.Second {
			t.Errorf("while passes were renewed nothing came for %v", gap)
		}
		p.Stop()
		if !both() {
			t.Errorf("after a day the owner sees %v", labels())
		}
	})
}
