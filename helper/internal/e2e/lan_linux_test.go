package e2e

import (
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// pair is two hosts on one LAN without a router, so without internet.
func pair(t *testing.T) (bed *netnstest.Bed, lan *netnstest.LAN, a, b *node) {
	t.Helper()
	bed = netnstest.New(t)
	lan = bed.LAN("lan", netnstest.WireLike)
	a = newNode(t, bed, "a", lan, "192.168.77.1/24")
	b = newNode(t, bed, "b", lan, "192.168.77.2/24")
	return bed, lan, a, b
}

func TestNetnsTwoHostsOneLAN(t *testing.T) {
	_, _, a, b := pair(t)
	a.create("home")
	link := a.invite()
	start := time.Now()
	b.kithIn(link, "join", "-", "--device", "b")
	joined := time.Since(start)
	b.reach("a.home.internal", 5*time.Second)
	t.Logf("join %v, join to first ping by name %v (budget 1 s)", joined, time.Since(start))
	t.Logf("back, by the short name: %v", a.reach("b", 5*time.Second))
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
	_, _, a, b := pair(t)
	a.create("home")
	b.join(a)
	b.reach("a.home.internal", patience)
	a.kill()
	b.kill()
	start := time.Now()
	a.launch()
	b.launch()
	b.reach("a.home.internal", 10*time.Second)
	t.Logf("both killed and started: reachable by name after %v (budget 2 s)", time.Since(start))
	a.reach("b.home.internal", 5*time.Second)
}

func TestNetnsLinkLocalOnly(t *testing.T) {
	bed := netnstest.New(t)
	lan := bed.LAN("lan", netnstest.WireLike)
	a, b := newNode(t, bed, "a", lan), newNode(t, bed, "b", lan)
	a.create("home")
	link := a.invite()
	start := time.Now()
	b.kithIn(link, "join", "-", "--device", "b")
	b.reach("a.home.internal", 5*time.Second)
	t.Logf("link-local alone: join to first ping by name %v (budget 1 s)", time.Since(start))
	until(t, "the path is lan", patience, func() bool { return b.peer("a").Path == ipc.PathLAN })
	a.kill()
	b.kill()
	start = time.Now()
	a.launch()
	b.launch()
	b.reach("a.home.internal", 10*time.Second)
	t.Logf("link-local alone: both killed and started: reachable after %v (budget 2 s)", time.Since(start))
}
