package e2e

import (
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// The rows of the table of paths: A and B are a and b, S is s. Joined means by
// the link alone.

func TestNetnsPath01SameLAN(t *testing.T) {
	w := newWorld(t)
	s := w.public("s")
	s.create("home")
	home := w.site("home", netnstest.HomeNAT)
	a, b := w.member("a", home.lan), w.member("b", home.lan)
	a.join(s)
	a.meets(s)
	w.meet(s, a, b, patience, ipc.PathLAN)
}

func TestNetnsPath19LinkLocalOnly(t *testing.T) {
	lan, a, b := linkLocal(t)
	w := &world{t: t, bed: lan.Bed}
	a.create("home")
	w.meet(a, a, b, patience, ipc.PathLAN)
	along := b.pingAlong("a.home.internal", 100*time.Millisecond)
	along.await(patience)
	a.kill()
	b.kill()
	start := time.Now()
	a.launch()
	b.launch()
	along.await(patience)
	t.Logf("both killed and started: reachable after %v", time.Since(start))
	along.stop()
}
