package simnet

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// TestSimShareRemoveNetwork: a share is given up in the network that was named, its own
// or the friend's; where another is named it stays.
func TestSimShareRemoveNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		bob, cat, anna := net.Host("bob", l), net.Host("cat", l), net.Host("anna", l)
		for _, h := range []*Host{bob, cat, anna} {
			h.Start()
		}
		anna.Create("home")
		anna.Create("work")
		for _, h := range []*Host{bob, cat} {
			h.Create("home")
			if _, err := h.Engine.DeviceRename(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: h.name, Name: "nas"}); err != nil {
				t.Fatal(err)
			}
		}
		for h, into := range map[*Host]string{bob: "home", cat: "work"} {
			if _, err := anna.Engine.ShareAccept(t.Context(), server.Caller{}, ipc.ShareAcceptRequest{
				Link: h.share(ipc.ShareRequest{Devices: []string{"nas"}}), Network: into,
			}); err != nil {
				t.Fatal(err)
			}
		}
		through := func(alias string) (out []string) {
			for _, s := range anna.Network(alias).Shares {
				out = append(out, s.Network)
			}
			return out
		}
		bobs, cats := through("home"), through("work")
		if len(bobs) != 1 || len(cats) != 1 || bobs[0] == cats[0] {
			t.Fatalf("through home: %v, through work: %v", bobs, cats)
		}
		remove := func(network string) error {
			_, err := anna.Engine.ShareRemove(t.Context(), server.Caller{}, ipc.ShareIDRequest{Network: network, Share: "nas"})
			return err
		}
		for network, want := range map[string]ipc.Code{"": ipc.CodeAmbiguous, "nowhere": ipc.CodeNotFound} {
			if err := remove(network); ipc.CodeOf(err) != want {
				t.Errorf("in %q: %v", network, err)
			}
		}
		if err := remove("work"); err != nil {
			t.Fatal(err)
		}
		anna.Until(time.Minute, "the one through work is gone", func() bool { return len(through("work")) == 0 })
		if err := remove("work"); ipc.CodeOf(err) != ipc.CodeNotFound || len(through("home")) != 1 {
			t.Errorf("again: %v; through home: %v", err, through("home"))
		}
		if err := remove(bobs[0]); err != nil {
			t.Fatal(err)
		}
		anna.Until(time.Minute, "the other is gone", func() bool { return len(through("home")) == 0 })
	})
}

// TestSimShareShortName: a short name stays with the friend whose device had it first,
// whoever shares another of that name later.
func TestSimShareShortName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		anna := net.Host("anna", l)
		anna.Start()
		anna.Create("annas")
		var first netip.Addr
		for i := range 6 {
			h := net.Host(fmt.Sprintf("friend%d", i), l)
			h.Start()
			h.Create("home")
			if _, err := h.Engine.DeviceRename(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: h.name, Name: "nas"}); err != nil {
				t.Fatal(err)
			}
			mustAccept(t, anna, h.share(ipc.ShareRequest{Devices: []string{"nas"}}))
			if i == 0 {
				first = *h.Network("").Self.IPv6
			}
		}
		short := func() (out []netip.Addr) {
			for _, s := range anna.Network("").Shares {
				if d := s.Devices[0]; d.Short != nil && *d.Short == "nas" {
					out = append(out, *d.IPv6)
				}
			}
			return out
		}
		for range 2 {
			anna.Until(time.Minute, "the short name leads to the first friend's", func() bool { a := short(); return len(a) == 1 && a[0] == first })
			anna.Restart()
		}
	})
}

// TestSimShareSameNames: where a friend's word on one device is old, another device may
// have its name by now: each is called something else, and is found by that.
func TestSimShareSameNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, _ := sharing(t)
		desk := joinedBy(t, nas, "desk")
		admin(t, nas, "desk")
		time.Sleep(5 * time.Second)
		mustAccept(t, anna, desk.share(ipc.ShareRequest{Devices: []string{"desk"}}))
		anna.Reach("desk.home.internal", 5*time.Second)
		desk.Stop()
		for _, r := range []ipc.DeviceRequest{{Device: "desk", Name: "old"}, {Device: "nas", Name: "desk"}} {
			if _, err := nas.Engine.DeviceRename(t.Context(), server.Caller{}, r); err != nil {
				t.Fatal(err)
			}
		}
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"desk"}}))
		names := func() map[string]netip.Addr {
			out := map[string]netip.Addr{}
			for _, s := range anna.Network("").Shares {
				for _, d := range s.Devices {
					out[d.FQDN] = *d.IPv6
				}
			}
			return out
		}
		anna.Until(time.Minute, "both are there, under two names", func() bool { return len(names()) == 2 })
		for name, at := range names() {
			if at == *nas.Network("").Self.IPv6 {
				anna.Reach(name, 5*time.Second)
			} else if _, _, err := anna.Ping(name); name != "desk.home.internal" || err == nil {
				t.Errorf("who is away is called %s, and pinging it says %v", name, err)
			}
		}
		desk.Start()
		anna.Until(time.Minute, "it has its new name", func() bool { return names()["old.home.internal"].IsValid() && names()["desk.home.internal"].IsValid() })
		anna.Reach("old.home.internal", 5*time.Second)
	})
}
