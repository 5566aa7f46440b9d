package wire

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestMTU: what a path carries is found out while it is used, and losses do not
// make it narrow.
func TestMTU(t *testing.T) {
	for _, c := range []struct {
		name string
		mtu  int
		loss float64
		want int
	}{
		{"Ethernet", 1500, 0, 0},
		{"a lossy one", 1500, 0.2, 0},
		{"a tunnel below", 1420, 0, 1328},
		{"room for the least", 1340, 0, 1280},
		{"too narrow", 1300, 0, 1280},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, seg, na, nb := lan(t)
				seg.SetDelay(2 * time.Millisecond)
				seg.SetMTU(c.mtu)
				na.wire.SetPeers([]Peer{nb.peer(addr("10.0.0.2:30000"))})
				nb.wire.SetPeers([]Peer{na.peer()})
				a, b := newGuard(na, "192.0.2.1"), newGuard(nb, "192.0.2.2")
				defer a.end()
				defer b.end()
				if got := na.wire.MTU(nb.id()); got != 0 {
					t.Errorf("without a path: %d bytes", got)
				}
				b.configure(a)
				a.configure(b)
				na.wire.Want(nb.id(), true)
				seg.SetLoss(c.loss)
				talk(a, b, 8*time.Second)
				for _, s := range []struct{ of, to *node }{{na, nb}, {nb, na}} {
					if got := s.of.wire.MTU(s.to.id()); got != c.want {
						t.Errorf("from %s: %d bytes, want %d", s.of.name, got, c.want)
					}
				}
				if s := na.status(nb); s.Reason != Confirmed {
					t.Errorf("the path is %v", s.Reason)
				}
			})
		})
	}
}
