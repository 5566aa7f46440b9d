package simnet

import (
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
)

// hard is a test of a pair that has no direct path but by the birthday attempt:
// relayed at once, direct within 10 s. An attempt fails once in fifty by its
// nature, so eight of ten runs are enough here.
func hard(t *testing.T, a, b func(n *Net) *Host) {
	t.Helper()
	const runs = 10
	won := 0
	for i := range runs {
		row(t, func(t *testing.T, n *Net) {
			n.udp.Seed(uint64(i))
			s, a, b := n.Server("s"), a(n), b(n)
			relayed(t, s, a, b)
			began := time.Now()
			took, path := a.Reach("b", time.Second)
			if path != ipc.PathRelayed && path != ipc.PathDirect {
				t.Errorf("first answer after %v on a path that is %s", took, path)
			}
			p := a.Pings("b")
			defer p.Stop()
			for time.Since(began) < 10*time.Second {
				if q, _ := a.Peer("b"); q.Path == ipc.PathDirect {
					t.Logf("run %d: direct after %v", i, time.Since(began))
					won++
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if g := p.Gap(); g > time.Second {
				t.Errorf("run %d: silent for %v", i, g)
			}
		})
	}
	if t.Logf("direct in %d runs of %d", won, runs); won < 8 {
		t.Errorf("direct in %d runs of %d", won, runs)
	}
}

func TestPath05Symmetric(t *testing.T) {
	hard(t, behind("a", udptest.Symmetric), behind("b", udptest.Masquerade))
}

func TestPath06SymmetricAndFirewall(t *testing.T) {
	hard(t, behind("a", udptest.Symmetric), func(n *Net) *Host {
		h := n.Server("b")
		h.udp.SetFirewall(true)
		return h
	})
}
