package e2e

import (
	"testing"
	"time"

	"kith.internal/ipc"
)

// pair is two hosts on one LAN without a router, so without internet.
func pair(t *testing.T) (w *bed, a, b *node) {
	t.Helper()
	w = newBed(t)
	return w, w.start("a"), w.start("b")
}

func TestNetnsTwoHostsOneLAN(t *testing.T) {
	_, a, b := pair(t)
	a.create("home")
	link := a.invite()
	start := time.Now()
	b.kithIn(link, "join", "-", "--device", "b")
	joined := time.Since(start)
	b.reach("a.home.internal", patience)
	t.Logf("join %v, join to first ping by name %v (budget 1 s)", joined, time.Since(start))
	t.Logf("back, by the short name: %v", a.reach("b", patience))
	until(t, "the path is lan", patience, func() bool { return b.peer("a").Path == ipc.PathLAN && a.peer("b").Path == ipc.PathLAN })
	until(t, "b has a session with a", patience, func() bool {
		p := b.peer("a")
		return p.Online && p.Active && p.Endpoint != nil && p.LastHandshake != nil
	})
	if got := b.kith("ping", "a", "-c", "1"); got == "" {
		t.Error("kith ping says nothing")
	}
}

func TestNetnsBothKilled(t *testing.T) {
	_, a, b := pair(t)
	a.create("home")
	b.join(a)
	b.reach("a.home.internal", patience)
	a.kill()
	b.kill()
	start := time.Now()
	a.launch()
	b.launch()
	b.reach("a.home.internal", patience)
	t.Logf("both killed and started: reachable by name after %v (budget 2 s)", time.Since(start))
	a.reach("b.home.internal", patience)
}

// linkLocal is pair with no addresses but those that IPv6 makes by itself.
func linkLocal(t *testing.T) (w *bed, a, b *node) {
	t.Helper()
	w = newBed(t)
	a, b = w.bare("a"), w.bare("b")
	for _, n := range []*node{a, b} {
		n.host.Attach(w.lan)
		n.start()
	}
	return w, a, b
}

func TestNetnsLinkLocalOnly(t *testing.T) {
	_, a, b := linkLocal(t)
	a.create("home")
	link := a.invite()
	start := time.Now()
	b.kithIn(link, "join", "-", "--device", "b")
	b.reach("a.home.internal", patience)
	t.Logf("link-local alone: join to first ping by name %v (budget 1 s)", time.Since(start))
	until(t, "the path is lan", patience, func() bool { return b.peer("a").Path == ipc.PathLAN })
	a.kill()
	b.kill()
	start = time.Now()
	a.launch()
	b.launch()
	b.reach("a.home.internal", patience)
	t.Logf("link-local alone: both killed and started: reachable after %v (budget 2 s)", time.Since(start))
}
