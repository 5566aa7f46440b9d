package simnet

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// digest is a host's roster in one word.
func (h *Host) digest() roster.ID {
	h.tb.Helper()
	d, err := h.Engine.Digest(h.tb.Context(), "")
	if err != nil {
		h.tb.Fatalf("%s: roster: %v", h.name, err)
	}
	return d
}

// agree waits until all have the same roster.
func agree(t *testing.T, limit time.Duration, hosts ...*Host) time.Duration {
	t.Helper()
	return hosts[0].Until(limit, "the rosters agree", func() bool {
		want := hosts[0].digest()
		return !slices.ContainsFunc(hosts[1:], func(h *Host) bool { return h.digest() != want })
	})
}

// crowd is n hosts on a LAN, in one network.
func crowd(t *testing.T, n int) (*LAN, []*Host) {
	t.Helper()
	net := New(t)
	l := net.LAN("lan")
	var hosts []*Host
	var link string
	for i := range n {
		h := net.Host(fmt.Sprintf("h%d", i), l)
		h.Start()
		hosts = append(hosts, h)
		if i == 0 {
			h.Create("home")
			link = h.Invite("", 0)
		} else if err := h.Join(link); err != nil {
			t.Fatalf("join: %v", err)
		}
	}
	return l, hosts
}

// online is which peers a host shows as online.
func (h *Host) online() map[string]bool {
	out := map[string]bool{}
	for _, p := range h.Network("").Peers {
		if p.Online {
			out[p.Name] = true
		}
	}
	return out
}

// TestSimCrowd: more engines than link with one another all see each other.
func TestSimCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, hosts := crowd(t, 12)
		t.Logf("rosters agree after %v", agree(t, time.Second, hosts...))
		for _, h := range hosts {
			h.Until(2*time.Second, "all are online", func() bool { return len(h.online()) == 11 })
			for _, o := range hosts {
				if got, err := h.Resolve(o.name); err != nil || len(got) != 2 {
					t.Errorf("%s resolves %s: %v, %v", h.name, o.name, got, err)
				}
			}
		}
		for i, h := range hosts {
			answered(t, h, hosts[(i+5)%12].name, time.Second)
		}
		hosts[3].Stop()
		for _, h := range slices.Delete(slices.Clone(hosts), 3, 4) {
			h.Until(2*time.Second, "h3 is offline, the others are not", func() bool { on := h.online(); return len(on) == 10 && !on["h3"] })
		}
		hosts[3].Start()
		for _, h := range hosts {
			h.Until(2*time.Second, "all are online again", func() bool { return len(h.online()) == 11 })
		}
	})
}

// joinAll has hosts join by one link at once, and returns how long the last took.
func joinAll(t *testing.T, link string, hosts ...*Host) time.Duration {
	t.Helper()
	return joinBy(t, []string{link}, hosts)
}

// joinBy is joinAll by several links in turn.
func joinBy(t *testing.T, links []string, hosts []*Host) time.Duration {
	t.Helper()
	began := time.Now()
	var joins sync.WaitGroup
	for i, h := range hosts {
		h.Start()
		joins.Go(func() {
			if err := h.Join(links[i%len(links)]); err != nil {
				t.Errorf("%s joins: %v", h.name, err)
			}
		})
	}
	joins.Wait()
	return time.Since(began)
}

// TestSimManyJoin: whoever holds a valid link is let in within seconds, though as
// many as thirty come at once, from behind two NATs.
func TestSimManyJoin(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s := n.Server("s")
		s.Start()
		s.Create("home")
		relayOn(t, s)
		homes := []*Site{n.Home("a"), n.Home("b")}
		var hosts []*Host
		for i := range manyJoin {
			hosts = append(hosts, n.Host(fmt.Sprint("h", i), homes[i%2].LAN))
		}
		took := joinAll(t, s.Invite("", 0), hosts...)
		t.Logf("%d joined within %v", len(hosts), took)
		if took > 5*time.Second {
			t.Errorf("%d joiners took %v", len(hosts), took)
		}
		t.Logf("the rosters agree after %v", agree(t, time.Minute, append(hosts, s)...))
	})
}

// TestSimDiverged: two members that were apart, and wrote records meanwhile,
// agree within a second of meeting.
func TestSimDiverged(t *testing.T) {
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
		recoverOwner(t, b, phrase)
		agree(t, time.Second, a, b)
		l.SetDown(true)
		time.Sleep(time.Hour)
		for i := range 50 {
			a.Invite("", 1)
			rename(t, b, "", fmt.Sprintf("b%d", i))
		}
		rename(t, a, "a", "anton")
		if a.digest() == b.digest() {
			t.Fatal("apart, and the rosters are alike")
		}
		l.SetDown(false)
		a.changed()
		// The carrier tells a; b hears of it from a.
		d := agree(t, time.Minute, a, b)
		t.Logf("agreed %v after meeting", d)
		if d > time.Second {
			t.Errorf("agreed only %v after meeting", d)
		}
		if _, ok := a.Peer("b49"); !ok {
			t.Error("a does not know b's name")
		}
		answered(t, a, "b49", time.Second)
		answered(t, b, "anton", time.Second)
	})
}

func rename(t *testing.T, h *Host, device, name string) ipc.DeviceAnswer {
	t.Helper()
	a, err := h.Engine.DeviceRename(t.Context(), server.Caller{}, ipc.DeviceRequest{Device: device, Name: name})
	if err != nil {
		t.Fatalf("%s renames %s: %v", h.name, device, err)
	}
	return a
}

func recoverOwner(t *testing.T, h *Host, phrase string, cut ...string) {
	t.Helper()
	if _, err := h.Engine.Recover(t.Context(), server.Caller{}, ipc.RecoverRequest{Phrase: phrase, Cut: cut}); err != nil {
		t.Fatalf("%s recovers: %v", h.name, err)
	}
	if r := h.Network("").Self.Role; r != ipc.RoleOwner {
		t.Errorf("%s has recovered and is %s", h.name, r)
	}
}

// TestSimTwoNetworks: a device in two networks reaches both; their members see
// nothing of each other.
func TestSimTwoNetworks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New(t)
		l := net.LAN("lan")
		a, b, c := net.Host("a", l), net.Host("b", l), net.Host("c", l)
		for _, h := range []*Host{a, b, c} {
			h.Start()
		}
		a.Create("home")
		c.Create("work")
		for _, link := range []string{a.Invite("", 1), c.Invite("", 1)} {
			if err := b.Join(link); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			answered(t, b, "a", 2*time.Second)
			answered(t, b, "c", 2*time.Second)
			answered(t, a, "b", 2*time.Second)
			answered(t, c, "b", 2*time.Second)
			for _, name := range []string{"a", "c", "b.home.internal", "b.work.internal"} {
				if got, err := b.Resolve(name); err != nil || len(got) != 2 {
					t.Errorf("b resolves %s: %v, %v", name, got, err)
				}
			}
			for from, to := range map[*Host]string{a: "c", c: "a"} {
				if got, _ := from.Resolve(to); len(got) != 0 {
					t.Errorf("%s resolves %s: %v", from.name, to, got)
				}
				if _, _, err := from.Ping(to); ipc.CodeOf(err) != ipc.CodeNotFound {
					t.Errorf("%s pings %s: %v", from.name, to, err)
				}
				if n := from.Status().Networks; len(n) != 1 || len(n[0].Peers) != 1 || n[0].Peers[0].Name != "b" {
					t.Errorf("%s sees %+v", from.name, n)
				}
			}
			b.Restart()
		}
		// A third network of a name that b has already gets another name there.
		d := net.Host("d", l)
		d.Start()
		d.Create("home")
		if err := b.Join(d.Invite("", 1)); err != nil {
			t.Fatal(err)
		}
		var aliases = map[string]string{}
		for _, n := range b.Status().Networks {
			aliases[n.Alias] = n.Name
		}
		if want := map[string]string{"home": "home", "work": "work", "home-2": "home"}; !maps.Equal(aliases, want) {
			t.Errorf("b's networks: %v", aliases)
		}
		if got, err := b.Resolve("d.home-2.internal"); err != nil || len(got) == 0 {
			t.Errorf("b resolves d.home-2.internal: %v, %v", got, err)
		}
		answered(t, b, "d", time.Second)
	})
}
