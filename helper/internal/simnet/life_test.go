package simnet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// TestSimRestart: both are killed and start again; nobody else helps.
func TestSimRestart(t *testing.T) {
	for name, lan := range map[string]func(*Net) *LAN{
		"lan":        oneLAN,
		"link-local": func(n *Net) *LAN { return n.LinkLocal("lan") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := pair(t, lan)
				answered(t, b, "a", time.Second)
				a.Kill()
				b.Kill()
				time.Sleep(time.Minute)
				a.Start()
				b.Start()
				began := time.Now()
				answered(t, b, "a", 2*time.Second)
				t.Logf("reachable %v after both restarted", time.Since(began))
				answered(t, a, "b", 2*time.Second)
				if got := a.Removed(); len(got) != 1 || got[0] != "kith0" {
					t.Errorf("cleaned up after the crash: %q", got)
				}
				// One of them alone: its peer has a session with keys that are gone.
				b.Restart()
				answered(t, a, "b", 2*time.Second)
				a.Restart()
				answered(t, a, "b", 2*time.Second)
				// And in good order.
				a.Stop()
				if got := a.Resolver(); !got.IsZero() {
					t.Errorf("stopped, and the resolver is told %+v", got)
				}
				a.Start()
				answered(t, b, "a", 2*time.Second)
			})
		})
	}
}

// TestSimOnline: a peer that stops is offline at once, one that dies soon, and
// both are online again as soon as they are back.
func TestSimOnline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, oneLAN)
		online := func(want bool) func() bool {
			return func() bool { p, ok := a.Peer("b"); return ok && p.Online == want }
		}
		a.Until(time.Second, "b is online", online(true))
		time.Sleep(5 * time.Minute)
		if !online(true)() {
			t.Error("b is not online after five quiet minutes")
		}
		b.Stop()
		t.Logf("stopped: offline after %v", a.Until(time.Second, "b is offline", online(false)))
		time.Sleep(time.Minute)
		if !online(false)() {
			t.Error("b, stopped, is online again")
		}
		b.Start()
		t.Logf("started: online after %v", a.Until(2*time.Second, "b is online", online(true)))
		for _, busy := range []bool{false, true} {
			time.Sleep(5 * time.Minute)
			if busy {
				answered(t, a, "b", time.Second)
			}
			b.Kill()
			d := a.Until(time.Minute, "b is offline", online(false))
			t.Logf("killed (busy %v): offline after %v", busy, d)
			// A neighbour that nobody talks to is heard from every 20 s.
			if limit := map[bool]time.Duration{false: 30 * time.Second, true: 15 * time.Second}[busy]; d > limit {
				t.Errorf("killed (busy %v): offline only after %v", busy, d)
			}
			b.Start()
			d = a.Until(time.Minute, "b is online", online(true))
			t.Logf("started again: online after %v", d)
			if d > 2*time.Second {
				t.Errorf("started again: online only after %v", d)
			}
		}
	})
}

// TestSimJoinLasts: a join goes on while the sponsor is down, over a restart of
// the joiner, and ends when the sponsor is back.
func TestSimJoinLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		a, b := net.Host("a", l), net.Host("b", l)
		a.Start()
		b.Start()
		a.Create("home")
		link := a.Invite("", 1)
		a.Kill()
		began := time.Now()
		_, err := b.Engine.Join(t.Context(), server.Caller{}, ipc.JoinRequest{Link: link, Wait: 3})
		if ipc.CodeOf(err) != ipc.CodeTimeout || time.Since(began) != 3*time.Second {
			t.Fatalf("join without its sponsor: %v after %v", err, time.Since(began))
		}
		if j := b.Status().Joining; len(j) != 1 || j[0].Sponsor != "a" || j[0].Network != "home" {
			t.Errorf("under way: %+v", j)
		}
		b.Restart()
		time.Sleep(time.Hour)
		if j := b.Status().Joining; len(j) != 1 {
			t.Errorf("after a restart: %+v", j)
		}
		a.Start()
		d := b.Until(5*time.Second, "admitted", func() bool { return len(b.Status().Networks) == 1 })
		t.Logf("admitted %v after the sponsor was back", d)
		answered(t, b, "a", time.Second)
		if j := b.Status().Joining; len(j) != 0 {
			t.Errorf("still under way: %+v", j)
		}
	})
}

// TestSimLeave: who leaves is gone from the others' lists, and may come again
// with a new invite.
func TestSimLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, oneLAN)
		answered(t, b, "a", time.Second)
		if _, err := b.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
			t.Fatal(err)
		}
		a.Until(time.Second, "b is gone", func() bool { _, ok := a.Peer("b"); return !ok })
		if n := b.Status().Networks; len(n) != 0 {
			t.Errorf("b still has %+v", n)
		}
		if got := b.Resolver(); !got.IsZero() {
			t.Errorf("b's resolver is told %+v", got)
		}
		if got, err := a.Resolve("b"); err != nil || len(got) != 0 {
			t.Errorf("a resolves b: %v, %v", got, err)
		}
		if err := b.Join(a.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		answered(t, b, "a", time.Second)
		// A join under way ends the same way.
		link := a.Invite("", 1)
		c := a.net.Host("c")
		c.Start()
		_, err := c.Engine.Join(t.Context(), server.Caller{}, ipc.JoinRequest{Link: link, Wait: 1})
		if ipc.CodeOf(err) != ipc.CodeTimeout {
			t.Errorf("join without a LAN: %v", err)
		}
		if _, err := c.Engine.Diag(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: "home"}); err != nil {
			t.Errorf("diag of a join: %v", err)
		}
		if _, err := c.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: "home"}); err != nil {
			t.Errorf("leave a join: %v", err)
		}
		if j := c.Status().Joining; len(j) != 0 {
			t.Errorf("still under way: %+v", j)
		}
		// Nor does one end the network of that name that the device is in.
		other := a.net.Host("d", a.net.LAN("other"))
		other.Start()
		other.Create("home")
		c.Create("home")
		if _, err := c.Engine.Join(t.Context(), server.Caller{}, ipc.JoinRequest{Link: other.Invite("", 1), Wait: 1}); ipc.CodeOf(err) != ipc.CodeTimeout {
			t.Errorf("join without a LAN: %v", err)
		}
		if _, err := c.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: "home"}); ipc.CodeOf(err) != ipc.CodeAmbiguous {
			t.Errorf("leave one of two: %v", err)
		}
		if _, err := c.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: other.Status().Networks[0].ID[:8]}); err != nil {
			t.Errorf("leave a join by its ID: %v", err)
		}
		if s := c.Status(); len(s.Joining) != 0 || len(s.Networks) != 1 {
			t.Errorf("after it: %+v, %+v", s.Joining, s.Networks)
		}
		id := a.Status().Networks[0].ID
		for name, code := range map[string]ipc.Code{"home": "", id[:8]: "", "nowhere": ipc.CodeNotFound} {
			d, err := a.Engine.Diag(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: name})
			if ipc.CodeOf(err) != code || err == nil && len(d.Checks) == 0 {
				t.Errorf("diag of %s: %v", name, err)
			}
		}
		b4 := a.Status().Networks[0].Self.IPv4
		if got, err := a.Engine.DeviceRename(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: b4.String(), Name: "first"}); err != nil || got.Device != "first" {
			t.Errorf("a device by its address: %+v, %v", got, err)
		}
	})
}

// TestSimLeaveInStep: an owner that leaves first hears of what it did that it has
// forgotten, so that this stays.
func TestSimLeaveInStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		a, b, c := net.Host("a", l), net.Host("b", l), net.Host("c", l)
		a.Start()
		phrase := a.Create("home")
		join(t, a, b)
		recoverOwner(t, b, phrase)
		agree(t, time.Minute, a, b)
		b.Kill()
		backup := filepath.Join(b.dir, "backup")
		if err := copyDir(b.state(), backup); err != nil {
			t.Fatal(err)
		}
		b.Start()
		b.Reach("a", time.Minute)
		join(t, b, c)
		agree(t, time.Minute, a, b, c)
		b.Kill()
		if err := errors.Join(os.RemoveAll(b.state()), copyDir(backup, b.state())); err != nil {
			t.Fatal(err)
		}
		l.SetDelay(50 * time.Millisecond)
		b.Start()
		b.Until(time.Minute, "a is linked", func() bool { return b.online()["a"] })
		if _, ok := b.Peer("c"); ok {
			t.Fatal("b knows of c already: nothing is put to the test")
		}
		if _, err := b.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
			t.Fatal(err)
		}
		a.Until(time.Minute, "b is gone", func() bool { _, ok := a.Peer("b"); return !ok })
		time.Sleep(time.Minute)
		if _, ok := a.Peer("c"); !ok || c.Network("").Self.Role == ipc.RoleRemoved {
			t.Error("c, which b let in, went with it")
		}
	})
}

// TestSimInvites: how often an invite admits, and what who comes too late hears.
func TestSimInvites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		a := net.Host("a", l)
		a.Start()
		a.Create("home")
		fresh := func(name string) *Host { h := net.Host(name, l); h.Start(); return h }
		two := a.Invite("", 2)
		for i, want := range []ipc.Code{"", "", ipc.CodeLinkUsed} {
			h := fresh("two" + string('a'+rune(i)))
			if err := h.Join(two); ipc.CodeOf(err) != want {
				t.Errorf("use %d of two: %v, want %q", i+1, err, want)
			}
			if i == 1 {
				a.Restart() // its count outlives it
			}
		}
		many := a.Invite("", 0)
		for i := range 3 {
			if err := fresh("any" + string('a'+rune(i))).Join(many); err != nil {
				t.Errorf("use %d of an unlimited invite: %v", i+1, err)
			}
		}
		late, err := a.Engine.Invite(t.Context(), server.Caller{}, ipc.InviteRequest{Uses: 1, Expires: 60})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Minute) // clocks may be ten minutes apart
		if err := fresh("late").Join(late.Link); ipc.CodeOf(err) != ipc.CodeLinkExpired {
			t.Errorf("an expired invite: %v", err)
		}
		h := fresh("named")
		_, err = h.Engine.Join(t.Context(), server.Caller{}, ipc.JoinRequest{Link: a.Invite("", 1), Device: "a"})
		if ipc.CodeOf(err) != ipc.CodeNameTaken {
			t.Errorf("a name that is taken: %v", err)
		}
		if n := len(a.Network("").Peers); n != 5 {
			t.Errorf("%d peers, want 5", n)
		}
	})
}

// TestSimUpDown: down is off, lasts over restarts, and up is back.
func TestSimUpDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, oneLAN)
		answered(t, b, "a", time.Second)
		if _, err := b.Engine.Down(t.Context(), server.Caller{}, ipc.NetworkRequest{}); err != nil {
			t.Fatal(err)
		}
		a.Until(time.Second, "b is offline", func() bool { p, _ := a.Peer("b"); return !p.Online })
		if _, _, err := b.Ping("a"); ipc.CodeOf(err) != ipc.CodeNotConnected {
			t.Errorf("ping while down: %v", err)
		}
		b.Restart()
		if st := b.Status(); st.State != ipc.StateOff || st.Networks[0].Active {
			t.Errorf("down, after a restart: %s, active %v", st.State, st.Networks[0].Active)
		}
		if got := b.Resolver(); !got.IsZero() {
			t.Errorf("down, and the resolver is told %+v", got)
		}
		if _, err := b.Engine.Up(t.Context(), server.Caller{}, ipc.UpRequest{}); err != nil {
			t.Fatal(err)
		}
		answered(t, b, "a", time.Second)
		answered(t, a, "b", time.Second)
		if err := errors.Join(a.tunsWanted(1), b.tunsWanted(1)); err != nil {
			t.Error(err)
		}
	})
}

// TestSimMove: a device that goes elsewhere is found again, and one that has
// gone alone is offline.
func TestSimMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		home, away := net.LAN("home"), net.LAN("away")
		a, b := net.Host("a", home, away), net.Host("b", home)
		a.Start()
		b.Start()
		a.Create("n")
		if err := b.Join(a.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		answered(t, b, "a", time.Second)
		b.Move(away)
		answered(t, b, "a", time.Second)
		answered(t, a, "b", time.Second)
		a.Detach(away)
		a.Until(15*time.Second, "b is offline", func() bool { p, _ := a.Peer("b"); return !p.Online })
		b.Move(home)
		answered(t, b, "a", time.Second)
	})
}

// TestSimWatch: whoever watches is told that there is something new, though
// nobody has asked for it meanwhile, each time.
func TestSimWatch(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		l := n.LAN("lan")
		a, b := n.Host("a", l), n.Host("b", l)
		found(t, a, b)
		time.Sleep(time.Minute)
		for i := range 3 {
			st, rev, newer := a.Engine.Source().Snapshot()
			name := fmt.Sprintf("b%d", i)
			rename(t, a, st.Networks[0].Peers[0].Name, name)
			limit := time.After(5 * time.Second)
			for st.Networks[0].Peers[0].Name != name {
				select {
				case <-newer:
				case <-limit:
					t.Fatalf("nobody tells of %s", name)
				}
				before := rev
				if st, rev, newer = a.Engine.Source().Snapshot(); rev < before {
					t.Errorf("revision %d after %d", rev, before)
				}
			}
			time.Sleep(time.Hour)
		}
	})
}
