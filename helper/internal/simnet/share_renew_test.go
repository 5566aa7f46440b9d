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
	if testing.Short() {
		t.Skip("it goes through a day")
	}
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

// TestSimShareRemovedByAnother: a removed device is no guest any more as soon as one
// of its network's admins knows, also where another had given it its pass and is away,
// and comes back with its place in the network.
func TestSimShareRemovedByAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		desk := nas.net.Host("desk", lanOf(nas))
		desk.Start()
		if err := desk.Join(anna.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := anna.Engine.DeviceRole(t.Context(), server.Caller{}, ipc.RoleRequest{Device: "desk", Role: ipc.RoleAdmin}); err != nil {
			t.Fatal(err)
		}
		desk.Until(time.Minute, "desk is an admin's", func() bool { return desk.Network("").Self.Role == ipc.RoleAdmin })
		anna.Stop()
		mustAccept(t, desk, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		phone.Reach(sharedNAS, time.Minute)
		anna.Start()
		anna.Reach(sharedNAS, time.Minute)
		desk.Stop()
		phone.Kill()
		has := func(label string) func() bool {
			return func() bool {
				return slices.ContainsFunc(nas.given().Guests, func(g ipc.Guest) bool { return g.Label == label })
			}
		}
		if !has("phone")() || !has("anna")() {
			t.Fatalf("the owner sees %+v", nas.given().Guests)
		}
		if _, err := anna.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "phone"}); err != nil {
			t.Fatal(err)
		}
		nas.Until(time.Minute, "the phone is no guest any more", func() bool { return !has("phone")() })
		anna.Reach(sharedNAS, 2*time.Second)
	})
}
