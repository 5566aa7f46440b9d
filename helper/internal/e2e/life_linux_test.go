package e2e

import (
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
)

func TestNetnsFourReachOneAnother(t *testing.T) {
	_, nodes := members(t, "a", "b", "c", "d")
	for _, from := range nodes {
		for _, to := range nodes {
			if from != to {
				took := from.reach(to.name+".home.internal", patience)
				t.Logf("%s to %s: %v", from.name, to.name, took)
			}
		}
	}
	agree(t, patience, nodes...)
	for _, n := range nodes {
		until(t, "all paths of "+n.name+" are lan", patience, func() bool {
			for _, p := range n.network().Peers {
				if p.Path != ipc.PathLAN || !p.Online {
					return false
				}
			}
			return true
		})
	}
}

// pending is what a asks its admin for, as the admin lists it.
func (n *node) pending(device string) *ipc.Request {
	n.t.Helper()
	for _, d := range read[ipc.DeviceList](n, "device", "list").Devices {
		if d.Name == device {
			return d.Pending
		}
	}
	return nil
}

func TestNetnsRename(t *testing.T) {
	_, nodes := members(t, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	c.reach("b.home.internal", patience)

	// An owner's word counts at once, for itself and for others.
	a.kith("device", "rename", "b", "printer")
	c.reach("printer.home.internal", patience)
	until(t, "b knows its name", patience, func() bool { return b.network().Self.Name == "printer" })
	until(t, "the old name is gone", patience, func() bool { return !c.ping("b.home.internal") })
	a.kith("device", "rename", "desk")
	c.reach("desk.home.internal", patience)

	// A plain device asks.
	if got := read[ipc.DeviceAnswer](c, "device", "rename", "camera"); !got.Pending {
		t.Errorf("c renames itself: %+v", got)
	}
	until(t, "a hears what c asks for", patience, func() bool { r := a.pending("c"); return r != nil && r.Value == "camera" })
	if got := c.network().Self.Name; got != "c" {
		t.Errorf("c is %s before anybody approved", got)
	}
	a.kith("device", "approve", "c")
	b.reach("camera.home.internal", patience)
	until(t, "the request is settled", patience, func() bool { return a.pending("camera") == nil && c.pending("camera") == nil })

	for _, bad := range []struct {
		n    *node
		args []string
		code int
	}{
		{a, []string{"device", "rename", "camera", "printer"}, ipc.ExitFailed},    // taken
		{a, []string{"device", "rename", "camera", "not a host"}, ipc.ExitUsage},  // no label
		{b, []string{"device", "rename", "camera", "other"}, ipc.ExitPermission},  // not b's to say
		{b, []string{"device", "revoke", "camera", "--yes"}, ipc.ExitPermission},  // likewise
		{b, []string{"invite"}, ipc.ExitPermission},                               // likewise
		{a, []string{"device", "rename", "nobody", "other"}, ipc.ExitNotFound},    // no such device
		{a, []string{"device", "approve", "camera"}, ipc.ExitNotFound},            // asks for nothing
		{b, []string{"device", "approve", "camera"}, ipc.ExitNotFound},            // likewise
		{a, []string{"--network", "nowhere", "device", "list"}, ipc.ExitNotFound}, // no such network
	} {
		if got := bad.n.try(bad.args...); got.code != bad.code || got.err == "" {
			t.Errorf("%s: kith %s: exit code %d, want %d: %s", bad.n.name, strings.Join(bad.args, " "), got.code, bad.code, got.err)
		}
	}
	agree(t, patience, nodes...)
}

func TestNetnsRenewKeys(t *testing.T) {
	_, nodes := members(t, "a", "b")
	a, b := nodes[0], nodes[1]
	b.reach("a.home.internal", patience)
	for _, c := range []struct {
		who     string
		n, from *node
		do      func()
	}{
		{"the owner, at once", a, b, func() { a.kith("device", "renew") }},
		{"a plain device, approved", b, a, func() {
			b.kith("device", "renew")
			until(t, "a hears what b asks for", patience, func() bool { return a.pending("b") != nil })
			a.kith("device", "approve", "b")
		}},
	} {
		along := c.from.pingAlong(c.n.name+".home.internal", 20*time.Millisecond)
		along.await(patience)
		before := c.n.network().Self
		c.do()
		until(t, "the roster has the new keys", patience, func() bool {
			return strings.Count(c.n.kith("roster"), " admit ") >= 3 && a.digest() == b.digest()
		})
		along.await(patience)
		for range 10 {
			along.await(patience)
		}
		sent, lost, gap := along.stop()
		t.Logf("new keys for %s: %d of %d echoes lost, longest gap %v", c.who, lost, sent, gap)
		if gap > slow*time.Second {
			t.Errorf("new keys for %s: no answer for %v", c.who, gap)
		}
		if after := c.n.network().Self; *after.IPv6 != *before.IPv6 || *after.IPv4 != *before.IPv4 || after.Name != before.Name {
			t.Errorf("new keys changed more than keys: %+v, was %+v", after, before)
		}
	}
	a.kill()
	b.kill()
	a.start()
	b.start()
	b.reach("a.home.internal", patience)
}

func TestNetnsLeave(t *testing.T) {
	_, nodes := members(t, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	c.reach("b.home.internal", patience)
	if got := c.try("leave"); got.code != ipc.ExitUsage || len(c.status().Networks) != 1 {
		t.Errorf("kith leave without anybody to ask: %+v", got)
	}
	c.kith("leave", "--yes")
	if st := c.status(); len(st.Networks) != 0 || st.State != ipc.StateRunning {
		t.Errorf("c after it left: %+v", st)
	}
	if got := c.host.Run("ip", "-o", "link"); strings.Contains(got, "kith0") {
		t.Errorf("c has kept its TUN: %s", got)
	}
	for _, n := range []*node{a, b} {
		until(t, n.name+" hears that c left", patience, func() bool { return n.peer("c").Key == "" })
	}
	agree(t, patience, a, b)
	// It may come back with a new link, under its old name.
	c.join(a)
	c.reach("b.home.internal", patience)
	b.reach("c.home.internal", patience)
}

func TestNetnsDownLasts(t *testing.T) {
	_, nodes := members(t, "a", "b")
	a, b := nodes[0], nodes[1]
	b.reach("a.home.internal", patience)
	b.kith("down")
	down := func(when string) {
		t.Helper()
		st := b.status()
		if st.State != ipc.StateOff || st.Networks[0].Active || st.Networks[0].Self.Name != "b" {
			t.Errorf("%s: %+v", when, st)
		}
		if got := b.host.Run("ip", "-o", "link"); strings.Contains(got, "kith0") {
			t.Errorf("%s b has a TUN: %s", when, got)
		}
		if b.ping("a.home.internal") {
			t.Errorf("%s b reaches a", when)
		}
	}
	down("after down")
	until(t, "a hears that b is gone", patience, func() bool { return !a.peer("b").Online })
	b.kill()
	b.start()
	down("after a kill")
	b.term()
	b.start()
	down("after a stop")
	start := time.Now()
	b.kith("up")
	b.reach("a.home.internal", patience)
	t.Logf("kith up to first ping by name: %v", time.Since(start))
	until(t, "a hears that b is back", patience, func() bool { return a.peer("b").Online })
	b.kill()
	b.start()
	b.reach("a.home.internal", patience)
}

// A stop leaves nothing behind, and neither does a kill once kithd cleanup ran.
func TestNetnsNothingLeftBehind(t *testing.T) {
	_, nodes := members(t, "a", "b")
	a, b := nodes[0], nodes[1]
	trace := func(n *node) string {
		return n.host.Run("cat", "/etc/resolv.conf") + n.host.Run("sh", "-c", "ip -o link | cut -d: -f2; ip rule; ip -6 rule; ip route; ip -6 route; nft list ruleset")
	}
	a.reach("b.home.internal", patience)
	if got := trace(a); !strings.Contains(got, "kith0") || !strings.Contains(got, "home.internal") {
		t.Fatalf("while it runs: %s", got)
	}
	a.term()
	if got := trace(a); strings.Contains(got, "kith0") || strings.Contains(got, "internal") {
		t.Errorf("after a stop: %s", got)
	}
	b.kill()
	out, err := b.host.Command(b.kithd, "cleanup", "--state-dir", b.state()).CombinedOutput()
	if got := trace(b); err != nil || strings.Contains(got, "kith0") || strings.Contains(got, "internal") {
		t.Errorf("after a kill and a cleanup: %v: %s: %s", err, out, got)
	}
	a.start()
	b.start()
	a.reach("b.home.internal", patience)
}
