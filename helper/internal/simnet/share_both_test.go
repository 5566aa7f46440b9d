package simnet

import (
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// TestSimShareTag: a share of a tag is of the devices that have it now.
func TestSimShareTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		desk := joinedBy(t, nas, "desk")
		tag := func(device string, add, remove []string) {
			t.Helper()
			if _, err := setTags(nas, device, add, remove); err != nil {
				t.Fatal(err)
			}
		}
		tag("nas", []string{"media"}, nil)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"tag:media"}}))
		for _, h := range []*Host{anna, phone} {
			h.Reach(sharedNAS, 5*time.Second)
		}
		tag("desk", []string{"media"}, nil)
		for _, h := range []*Host{anna, phone} {
			h.Until(time.Minute, "two devices are shared", func() bool { return len(h.received().Devices) == 2 })
			h.Reach("desk.home.internal", 10*time.Second)
		}
		p := phone.Pings("desk.home.internal")
		defer p.cancel()
		tag("desk", nil, []string{"media"})
		for _, h := range []*Host{anna, phone} {
			h.Until(10*time.Second, "one is", func() bool { s := h.received(); return len(s.Devices) == 1 && s.Why == nil })
			if _, _, err := h.Ping(desk.Network("").Self.IPv6.String()); err == nil {
				t.Errorf("%s reaches a device that has the tag no more", h.name)
			}
		}
		tag("nas", nil, []string{"media"})
		for _, h := range []*Host{anna, phone} {
			h.Until(10*time.Second, "none is", func() bool { s := h.received(); return s.Why != nil && *s.Why == ipc.CodeNotShared })
		}
		tag("desk", []string{"media"}, nil)
		for _, h := range []*Host{anna, phone} {
			h.Reach("desk.home.internal", time.Minute)
			h.Until(10*time.Second, "it works again", func() bool { return h.received().Why == nil })
		}
	})
}

// TestSimShareMember: a guest that becomes a member of the owner's network is one, and
// is a guest again when it leaves.
func TestSimShareMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		phone.Reach(sharedNAS, 5*time.Second)
		if err := phone.Join(nas.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		phone.Reach(sharedNAS, 10*time.Second)
		anna.Reach(sharedNAS, 10*time.Second)
		phone.Restart()
		phone.Reach(sharedNAS, 10*time.Second)
		if _, err := phone.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: "home"}); err != nil {
			t.Fatal(err)
		}
		phone.Reach(phone.received().FQDN, time.Minute)
		phone.Until(time.Minute, "nothing is wrong", func() bool { return phone.received().Why == nil })
	})
}

// TestSimShareTwice: a device that is in two friends' networks uses the one's share, and
// the other's once that is taken back.
func TestSimShareTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nas, anna, phone := sharing(t)
		bob := nas.net.Host("bob", lanOf(nas))
		bob.Start()
		bob.Create("bobs")
		if err := phone.Join(bob.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		mustAccept(t, anna, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		phone.Reach(sharedNAS, 5*time.Second)
		mustAccept(t, bob, nas.share(ipc.ShareRequest{Devices: []string{"nas"}}))
		bob.Reach(sharedNAS, 5*time.Second)
		through := func(alias string) ipc.Share {
			for _, s := range phone.Network(alias).Shares {
				return s
			}
			return ipc.Share{}
		}
		phone.Until(time.Minute, "the second says why not", func() bool { s := through("bobs"); return s.Why != nil && *s.Why == ipc.CodeExists })
		if _, err := phone.Engine.Down(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: "annas"}); err != nil {
			t.Fatal(err)
		}
		phone.Until(time.Minute, "the second works", func() bool { return through("bobs").Why == nil })
		phone.Reach(through("bobs").FQDN, time.Minute)
		if _, err := phone.Engine.Down(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: "bobs"}); err != nil {
			t.Fatal(err)
		}
		for _, alias := range []string{"annas", "bobs"} {
			if _, err := phone.Engine.Up(t.Context(), server.Caller{}, ipc.UpRequest{Network: alias}); err != nil {
				t.Fatal(err)
			}
		}
		phone.Until(time.Minute, "the second says why not again", func() bool { s := through("bobs"); return s.Why != nil && *s.Why == ipc.CodeExists })
		if _, err := nas.Engine.ShareRevoke(t.Context(), server.Caller{}, ipc.ShareIDRequest{Share: through("annas").ID}); err != nil {
			t.Fatal(err)
		}
		phone.Until(time.Minute, "the first was taken back", func() bool { return through("annas").State == ipc.ShareRevoked })
		phone.Until(time.Minute, "the second works", func() bool { return through("bobs").Why == nil })
		phone.Reach(through("bobs").FQDN, time.Minute)
	})
}
