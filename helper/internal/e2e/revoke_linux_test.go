package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
)

// members is a network of hosts on one LAN; the first is the owner.
func members(t *testing.T, names ...string) (bed *bed, nodes []*node) {
	t.Helper()
	bed = newBed(t)
	for i, name := range names {
		n := bed.start(name)
		if i == 0 {
			n.create("home")
		} else {
			n.join(nodes[0])
		}
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		until(t, n.name+" knows all", patience, func() bool { return len(n.network().Peers) == len(names)-1 })
	}
	return bed, nodes
}

// agree waits until all hold the same roster.
func agree(t *testing.T, limit time.Duration, nodes ...*node) time.Duration {
	t.Helper()
	return until(t, "the rosters agree", limit, func() bool {
		want := nodes[0].digest()
		for _, n := range nodes[1:] {
			if n.digest() != want {
				return false
			}
		}
		return true
	})
}

func TestNetnsRevoked(t *testing.T) {
	bed, nodes := members(t, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	c.reach("a.home.internal", patience)
	agree(t, patience, nodes...)
	// What c was before it heard of its end.
	c.kill()
	before := filepath.Join(c.dir, "before")
	out, err := exec.Command("cp", "-a", c.state(), before).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.start()

	// Measured at b, whom the revocation reaches through the network.
	along := c.pingAlong("b.home.internal", 20*time.Millisecond)
	along.await(patience)
	start := time.Now()
	a.kith("device", "revoke", "c", "--yes")
	until(t, "b has heard of it", patience, func() bool { return b.peer("c").Key == "" })
	heard := time.Since(start)
	until(t, "b answers no more", patience, func() bool { return time.Since(along.last()) > time.Second })
	cut := along.last().Sub(start)
	along.stop()
	t.Logf("from kith device revoke on a: b had heard after %v at the latest, b's last answer to c after %v (budget 1 s)", heard, cut)
	if cut > slow*time.Second {
		t.Errorf("c was answered %v after the revocation", cut)
	}
	until(t, "c says that it was removed", patience, func() bool {
		return c.network().Self.Role == ipc.RoleRemoved && c.health(ipc.HealthRemoved)
	})
	agree(t, patience, a, b)
	digest := a.digest()

	stays := func(when string) {
		t.Helper()
		b.reach("a.home.internal", patience)
		for _, n := range []*node{a, b} {
			// Its name is gone with it: ask for the addresses.
			if n.peer("c").Key != "" {
				t.Errorf("%s: %s lists c", when, n.name)
			}
			if got := n.digest(); got != digest {
				t.Errorf("%s: the roster of %s changed", when, n.name)
			}
			if n.run(n.host.Command("getent", "ahosts", "c.home.internal"), "").code == 0 {
				t.Errorf("%s: %s has a name for c", when, n.name)
			}
		}
	}
	stays("at once")
	for _, n := range nodes {
		n.kill()
	}
	for _, n := range nodes {
		n.start()
	}
	stays("after a restart of all")
	if got := c.network().Self.Role; got != ipc.RoleRemoved {
		t.Errorf("c after its restart: %s", got)
	}

	// With the state of before, apart from the others, c is what it was.
	c.kill()
	must(t, os.RemoveAll(c.state()))
	must(t, os.Rename(before, c.state()))
	c.host.Detach(bed.lan)
	c.start()
	if got := c.network().Self.Role; got != ipc.RolePlain {
		t.Fatalf("c with its old state: %s", got)
	}
	target := c.peer("b").IPv6.String()
	c.host.Attach(bed.lan, prefix("192.168.77.3/24"))
	along = c.pingAlong(target, 20*time.Millisecond)
	until(t, "c hears again that it was removed", patience, func() bool { return c.network().Self.Role == ipc.RoleRemoved })
	if !along.last().IsZero() {
		t.Error("b answered c, which came back with its old state")
	}
	until(t, "kith diag of a or b names c", patience, func() bool {
		return strings.Contains(nodes[0].diagnosis(ipc.CheckKeptOut).Detail+nodes[1].diagnosis(ipc.CheckKeptOut).Detail, "c calls, which was removed")
	})
	along.stop()
	stays("after c came back with its old state")
}

func TestNetnsClockSetBack(t *testing.T) {
	ahead := kithdAhead(t)
	_, nodes := members(t, "a", "b")
	a, b := nodes[0], nodes[1]
	b.reach("a.home.internal", patience)

	// b's handshakes, presence and records are stamped a day ahead.
	normal := b.kithd
	b.kill()
	b.kithd = ahead
	b.start()
	until(t, "a notices b's clock", patience, func() bool { return b.health(ipc.HealthClock) })
	b.reach("a.home.internal", patience)
	a.reach("b.home.internal", patience)
	until(t, "b's last handshake is stamped a day ahead", patience, func() bool {
		at := b.peer("a").LastHandshake
		return at != nil && time.Until(*at) > 20*time.Hour
	})

	b.kill()
	b.kithd = normal
	start := time.Now()
	b.launch()
	b.reach("a.home.internal", patience)
	t.Logf("clock set back a day: reachable %v after the restart (budget 2 s)", time.Since(start))
	a.reach("b.home.internal", patience)
	until(t, "a sees b online", patience, func() bool { return a.peer("b").Online })
	until(t, "b's clock is right again", patience, func() bool { return !b.health(ipc.HealthClock) })

	// The same, but b says goodbye with the clock a day ahead.
	b.kill()
	b.kithd = ahead
	b.start()
	b.reach("a.home.internal", patience)
	b.term()
	b.kithd = normal
	start = time.Now()
	b.launch()
	b.reach("a.home.internal", patience)
	t.Logf("the same after a goodbye: reachable %v after the restart", time.Since(start))
	until(t, "a sees b online", patience, func() bool { return a.peer("b").Online })
	b.kith("device", "rename", "bee")
	until(t, "a hears what b asks for", patience, func() bool {
		for _, d := range read[ipc.DeviceList](a, "device", "list").Devices {
			if d.Name == "b" && d.Pending != nil {
				return true
			}
		}
		return false
	})
}
