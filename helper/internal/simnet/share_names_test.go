package simnet

import (
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
