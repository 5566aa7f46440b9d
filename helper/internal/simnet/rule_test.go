package simnet

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

func revoke(t *testing.T, h *Host, device string) {
	t.Helper()
	if _, err := h.Engine.DeviceRevoke(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: device}); err != nil {
		t.Fatalf("%s revokes %s: %v", h.name, device, err)
	}
}

// health is the text of a warning, "" if it is not there.
func (h *Host) health(code string) string {
	for _, w := range h.Status().Health {
		if w.Code == code {
			return w.Text
		}
	}
	return ""
}

// trio is a crowd of three that have all talked.
func trio(t *testing.T) (l *LAN, a, b, c *Host) {
	t.Helper()
	l, hosts := crowd(t, 3)
	for _, h := range hosts {
		for _, o := range hosts {
			if h != o {
				answered(t, h, o.name, time.Second)
			}
		}
	}
	return l, hosts[0], hosts[1], hosts[2]
}

// TestSimRevoke: a removed device is cut by all within a second, is told who
// removed it, stays out over restarts, and the others go on.
func TestSimRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, c := trio(t)
		revoke(t, a, "h2")
		d := b.Until(time.Second, "h2 is gone", func() bool { _, ok := b.Peer("h2"); return !ok })
		t.Logf("gone at its peer after %v", d)
		d = c.Until(time.Second, "h2 knows", func() bool { return c.Network("").Self.Role == ipc.RoleRemoved })
		t.Logf("told after %v", d)
		c.Until(time.Second, "h2 says who removed it", func() bool { return strings.Contains(c.health(ipc.HealthRemoved), "h0") })
		if n := c.Network(""); n.Active {
			t.Error("h2 is still active")
		}
		if got := c.Resolver(); !got.IsZero() {
			t.Errorf("h2's resolver is told %+v", got)
		}
		for _, h := range []*Host{a, b} {
			if got, err := h.Resolve("h2"); err != nil || len(got) != 0 {
				t.Errorf("%s resolves h2: %v, %v", h.name, got, err)
			}
		}
		before := a.digest()
		for _, h := range []*Host{c, a, b} {
			h.Restart()
		}
		time.Sleep(time.Minute)
		for _, h := range []*Host{a, b} {
			if _, ok := h.Peer("h2"); ok {
				t.Errorf("%s has h2 again", h.name)
			}
		}
		if n := c.Network(""); n.Active || n.Self.Role != ipc.RoleRemoved {
			t.Errorf("h2 after the restarts: active %v, %s", n.Active, n.Self.Role)
		}
		if a.digest() != before || b.digest() != before {
			t.Error("the rosters have changed")
		}
		answered(t, a, "h1", 2*time.Second)
		answered(t, b, "h0", 2*time.Second)
	})
}

// TestSimRevokeApart: a device that was away when it was removed is cut when it
// comes back, and hears why; a member that was away takes the removal first.
func TestSimRevokeApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l, far := net.LAN("lan"), net.LAN("far")
		a, b, c := net.Host("a", l), net.Host("b", l), net.Host("c", l)
		for _, h := range []*Host{a, b, c} {
			h.Start()
		}
		a.Create("home")
		link := a.Invite("", 0)
		for _, h := range []*Host{b, c} {
			if err := h.Join(link); err != nil {
				t.Fatal(err)
			}
		}
		b.Until(time.Second, "b has heard of c", func() bool { _, ok := b.Peer("c"); return ok })
		b.Move(far)
		c.Move(far)
		answered(t, b, "c", 2*time.Second)
		revoke(t, a, "c")
		time.Sleep(time.Minute)
		answered(t, b, "c", time.Second) // nobody there has heard
		b.Move(l)
		d := b.Until(time.Second, "c is gone", func() bool { _, ok := b.Peer("c"); return !ok })
		t.Logf("cut %v after b met the revoker", d)
		c.Move(l)
		d = c.Until(time.Second, "c knows", func() bool { return c.Network("").Self.Role == ipc.RoleRemoved })
		t.Logf("told %v after meeting them", d)
		if err := c.Join(a.Invite("", 1)); err != nil {
			t.Errorf("invited anew: %v", err)
		}
		answered(t, c, "b", 2*time.Second)
	})
}

// TestSimCut: what the removed device sends after that changes nothing: its
// packets do not pass.
func TestSimCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, a, b, c := trio(t)
		from := c.Network("").Self.Port
		var after int
		// The removed device does not hear of it.
		deaf := false
		l.SetFilter(func(d udptest.Datagram) bool {
			if deaf && d.From.Port() != from && d.To.Port() == from {
				return false
			}
			return true
		})
		deaf = true
		revoke(t, a, "h2")
		time.Sleep(time.Second)
		tun := b.boot.tuns[0]
		tun.hook = func([]byte) { after++ }
		p, _ := c.Peer("h1")
		for range 20 {
			tc := c.boot.tuns[0]
			go tc.ping(t.Context(), *c.Network("").Self.IPv6, *p.IPv6, 1)
			time.Sleep(50 * time.Millisecond)
		}
		if after != 0 {
			t.Errorf("%d packets of the removed device have arrived", after)
		}
	})
}

// TestSimRenew: new keys cost a packet on its way at most.
func TestSimRenew(t *testing.T) {
	for _, owner := range []bool{true, false} {
		name := map[bool]string{true: "owner", false: "plain"}[owner]
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t, oneLAN)
				answered(t, a, "b", time.Second)
				answered(t, b, "a", time.Second)
				who, other := a, b
				if !owner {
					who, other = b, a
				}
				done := make(chan int)
				go func() {
					lost := 0
					for range 50 {
						ctx, cancel := contextFor(t, 300*time.Millisecond)
						if other.Engine.Ping(ctx, server.Caller{}, ipc.PingRequest{Host: who.name, Count: 1}, func(ipc.PingReply) error { return nil }) != nil {
							lost++
						}
						cancel()
						time.Sleep(100 * time.Millisecond)
					}
					done <- lost
				}()
				time.Sleep(time.Second)
				ans, err := who.Engine.DeviceRenew(t.Context(), server.Caller{}, ipc.DeviceRequest{})
				if err != nil || ans.Pending == owner {
					t.Fatalf("renew: %+v, %v", ans, err)
				}
				if !owner {
					a.Until(time.Second, "the request is there", func() bool { return pending(t, a, "b") == "renew" })
					approve(t, a, "b")
				}
				lost := <-done
				t.Logf("%d of 50 pings lost", lost)
				if lost > 1 {
					t.Errorf("%d pings of 50 are lost", lost)
				}
				agree(t, time.Second, a, b)
				for _, h := range []*Host{a, b} {
					h.Restart()
				}
				answered(t, a, "b", 2*time.Second)
				answered(t, b, "a", 2*time.Second)
			})
		})
	}
}

// TestSimRenewAway: of two members one gets new keys while the other is off, and
// nobody else could tell it: they find each other all the same.
func TestSimRenewAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, oneLAN)
		answered(t, a, "b", time.Second)
		b.Stop()
		if _, err := a.Engine.DeviceRenew(t.Context(), server.Caller{}, ipc.DeviceRequest{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		a.Restart()
		b.Start()
		answered(t, b, "a", 3*time.Second)
		answered(t, a, "b", 3*time.Second)
		agree(t, time.Second, a, b)
	})
}

func pending(t *testing.T, h *Host, device string) string {
	t.Helper()
	l, err := h.Engine.DeviceList(t.Context(), server.Caller{}, ipc.NetworkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range l.Devices {
		if d.Name == device && d.Pending != nil {
			return d.Pending.Kind
		}
	}
	return ""
}

func approve(t *testing.T, h *Host, device string) {
	t.Helper()
	if err := h.grant(t, device, asked(t, h, device)...); err != nil {
		t.Fatalf("%s approves %s: %v", h.name, device, err)
	}
}

// asked is all that a device asks for.
func asked(t *testing.T, h *Host, device string) []ipc.Request {
	t.Helper()
	l, err := h.Engine.DeviceList(t.Context(), server.Caller{}, ipc.NetworkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range l.Devices {
		if d.Name == device {
			return d.Asks
		}
	}
	return nil
}

func (h *Host) grant(t *testing.T, device string, asks ...ipc.Request) error {
	_, err := h.Engine.DeviceApprove(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: device, Asks: asks})
	return err
}

// TestSimApprove: an admin sees all that a device asks for, and grants what it has
// seen, not what the device asks for since.
func TestSimApprove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, oneLAN)
		offer := func(on bool) {
			t.Helper()
			if _, err := b.Engine.ExitOffer(t.Context(), server.Caller{}, ipc.ExitOfferRequest{On: on}); err != nil {
				t.Fatal(err)
			}
		}
		offer(true)
		rename(t, b, "", "berta")
		exit, berta, clara := ipc.Request{Kind: "exit"}, ipc.Request{Kind: "rename", Value: "berta"}, ipc.Request{Kind: "rename", Value: "clara"}
		a.Until(5*time.Second, "both requests are there", func() bool { return len(asked(t, a, "b")) == 2 })
		if got := asked(t, a, "b"); !slices.Contains(got, exit) || !slices.Contains(got, berta) {
			t.Errorf("it asks for %v", got)
		}
		rename(t, b, "", "clara")
		a.Until(30*time.Second, "it asks for another name", func() bool { return slices.Contains(asked(t, a, "b"), clara) })
		for _, c := range []struct {
			asks []ipc.Request
			code ipc.Code
		}{{nil, ipc.CodeUsage}, {[]ipc.Request{berta}, ipc.CodeNotFound}, {[]ipc.Request{exit, berta}, ipc.CodeNotFound}} {
			if err := a.grant(t, "b", c.asks...); ipc.CodeOf(err) != c.code {
				t.Errorf("%v is granted: %v", c.asks, err)
			}
		}
		if err := a.grant(t, "b", clara); err != nil {
			t.Fatal(err)
		}
		b.Until(5*time.Second, "b has its name", func() bool { return b.Network("").Self.Name == "clara" })
		if got := asked(t, a, "clara"); len(got) != 1 || got[0] != exit || b.Network("").Exit.Offering {
			t.Errorf("it asks for %v, and offers %v", got, b.Network("").Exit)
		}
	})
}

// TestSimRename: a plain device asks, an admin approves; the request outlives
// restarts of both.
func TestSimRename(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, oneLAN)
		if ans := rename(t, b, "", "berta"); !ans.Pending {
			t.Fatalf("a plain device renamed itself: %+v", ans)
		}
		a.Until(time.Second, "the request is there", func() bool { return pending(t, a, "b") == "rename" })
		b.Restart()
		a.Restart()
		a.Until(2*time.Second, "the request is there after restarts", func() bool { return pending(t, a, "b") == "rename" })
		approve(t, a, "b")
		b.Until(time.Second, "b has its name", func() bool { return b.Network("").Self.Name == "berta" })
		a.Until(time.Second, "no request is left", func() bool { return pending(t, a, "berta") == "" })
		answered(t, a, "berta", time.Second)
		if got, err := a.Resolve("berta"); err != nil || len(got) != 2 {
			t.Errorf("a resolves berta: %v, %v", got, err)
		}
		_, err := a.Engine.DeviceRename(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "a", Name: "berta"})
		if ipc.CodeOf(err) != ipc.CodeNameTaken {
			t.Errorf("a name that is taken: %v", err)
		}
		_, err = b.Engine.DeviceRename(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: "a", Name: "x"})
		if ipc.CodeOf(err) != ipc.CodeNotAdmin {
			t.Errorf("a plain device renames another: %v", err)
		}
	})
}

// TestSimRecover: the phrase makes a plain device an owner and cuts the old one.
func TestSimRecover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		a, b := net.Host("a", l), net.Host("b", l)
		a.Start()
		b.Start()
		phrase := a.Create("home")
		if err := b.Join(a.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(phrase)
		slices.Reverse(words)
		for _, bad := range []string{"one two", strings.Join(words, " ")} {
			_, err := b.Engine.Recover(t.Context(), server.Caller{}, ipc.RecoverRequest{Phrase: bad})
			if ipc.CodeOf(err) != ipc.CodePhrase {
				t.Errorf("another phrase: %v", err)
			}
		}
		recoverOwner(t, b, phrase, "a")
		a.Until(time.Second, "a is out", func() bool { return a.Network("").Self.Role == ipc.RoleRemoved })
		if err := a.Join(b.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		answered(t, a, "b", time.Second)
		if r := a.Network("").Self.Role; r != ipc.RolePlain {
			t.Errorf("a is %s", r)
		}
	})
}

// TestSimRecoverSelf: an owner that was cut stays cut, whatever phrase it has;
// it comes back as a new device, and with the phrase as an owner.
func TestSimRecoverSelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		a, b := net.Host("a", l), net.Host("b", l)
		a.Start()
		b.Start()
		phrase := a.Create("home")
		if err := b.Join(a.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		recoverOwner(t, b, phrase, "a")
		a.Until(time.Second, "a is out", func() bool { return a.Network("").Self.Role == ipc.RoleRemoved })
		_, err := a.Engine.Recover(t.Context(), server.Caller{}, ipc.RecoverRequest{Phrase: phrase})
		if ipc.CodeOf(err) != ipc.CodeNotAdmin {
			t.Errorf("a key that the root has cut: %v", err)
		}
		if err := a.Join(b.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		recoverOwner(t, a, phrase, "b")
		b.Until(2*time.Second, "b is out", func() bool { return b.Network("").Self.Role == ipc.RoleRemoved })
		if n := a.Network(""); !n.Active || len(n.Peers) != 0 {
			t.Errorf("a: active %v, peers %+v", n.Active, n.Peers)
		}
	})
}
