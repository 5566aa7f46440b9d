package wire

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// TestDeadUplink: the way out that the system prefers dies, and its route stays.
func TestDeadUplink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		first, second, far := n.Segment("first"), n.Segment("second"), n.Segment("far")
		r := n.Router("r")
		r.Attach(first, netip.MustParsePrefix("10.1.0.254/24"))
		r.Attach(second, netip.MustParsePrefix("10.2.0.254/24"))
		r.Attach(far, netip.MustParsePrefix("10.3.0.254/24"))
		ha, hb := n.Host("a"), n.Host("b")
		ha.Attach(first, netip.MustParsePrefix("10.1.0.1/24"))
		ha.Attach(second, netip.MustParsePrefix("10.2.0.1/24"))
		ha.AddDefault(first, netip.MustParseAddr("10.1.0.254"), 1)
		ha.AddDefault(second, netip.MustParseAddr("10.2.0.254"), 2)
		hb.Attach(far, netip.MustParsePrefix("10.3.0.1/24"))
		hb.AddDefault(far, netip.MustParseAddr("10.3.0.254"), 1)
		for _, s := range []*udptest.Segment{first, second, far} {
			s.SetDelay(5 * time.Millisecond)
		}
		na, nb := newNode(t, "a", ha), newNode(t, "b", hb)
		na.wire.SetPeers([]Peer{nb.peer(addr("10.3.0.1:30000"))})
		nb.wire.SetPeers([]Peer{na.peer()})
		a, b := newGuard(na, "192.0.2.1"), newGuard(nb, "192.0.2.2")
		defer a.end()
		defer b.end()
		b.configure(a)
		a.configure(b)
		na.wire.Want(nb.id(), true)
		if gap := talk(a, b, 3*time.Second); gap > 200*time.Millisecond {
			t.Fatalf("a gap of %v without a cause", gap)
		}
		first.SetFilter(func(udptest.Datagram) bool { return false })
		gap := talk(a, b, 8*time.Second)
		t.Logf("a gap of %v", gap)
		if gap > 3*time.Second {
			t.Errorf("a gap of %v", gap)
		}
		nb.wantPath(na, Direct, "10.2.0.1:30000")
	})
}
