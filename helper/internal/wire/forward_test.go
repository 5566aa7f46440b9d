package wire

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// row is nodes of which each shares a segment with the next alone: the first
// with the second 10.0.1.0/24, and so on. All know all, and pass on.
type row struct {
	net   *udptest.Net
	segs  []*udptest.Segment
	nodes []*node
}

func newRow(t testing.TB, n int) *row {
	r := &row{net: udptest.NewNet()}
	var hosts []*udptest.Host
	for i := range n {
		hosts = append(hosts, r.net.Host(fmt.Sprint("n", i)))
	}
	for i := range n - 1 {
		s := r.net.Segment(fmt.Sprint("s", i))
		s.SetDelay(2 * time.Millisecond)
		hosts[i].Attach(s, r.at(byte(i+1), 1))
		hosts[i+1].Attach(s, r.at(byte(i+1), 2))
		r.segs = append(r.segs, s)
	}
	for i := range n {
		r.nodes = append(r.nodes, newNode(t, fmt.Sprint("n", i), hosts[i]))
	}
	for i := range n {
		r.setPeers(i, func(*Peer) {})
		r.nodes[i].wire.SetForwarding(Forwarding{On: true})
	}
	return r
}

func (r *row) at(segment, host byte) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, segment, host}), 24)
}

// setPeers tells a node of all others, and the addresses of those beside it.
func (r *row) setPeers(i int, change func(*Peer)) {
	var peers []Peer
	for j, o := range r.nodes {
		if j == i {
			continue
		}
		p := o.peer()
		switch j {
		case i - 1:
			p.Candidates = []netip.AddrPort{netip.AddrPortFrom(r.at(byte(i), 1).Addr(), testPort)}
		case i + 1:
			p.Candidates = []netip.AddrPort{netip.AddrPortFrom(r.at(byte(j), 2).Addr(), testPort)}
		}
		change(&p)
		peers = append(peers, p)
	}
	r.nodes[i].wire.SetPeers(peers)
}

func (r *row) stop() {
	for _, n := range r.nodes {
		n.stop()
	}
}

// via is a chain over the nodes between a and b.
func (r *row) via(a, b int) []key.Public {
	var ids []key.Public
	step := 1
	if b < a {
		step = -1
	}
	for i := a + step; i != b; i += step {
		ids = append(ids, r.nodes[i].id())
	}
	return ids
}

// TestForwarded: two nodes without a common link talk over one to three
// others: control sessions, handshakes, packets. Only one of them knows the way.
func TestForwarded(t *testing.T) {
	for hops := 1; hops <= maxHops; hops++ {
		for _, mtu := range []int{1500, 1280} {
			t.Run(fmt.Sprintf("%d hops, MTU %d", hops, mtu), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRow(t, hops+2)
					defer r.stop()
					for _, s := range r.segs {
						s.SetMTU(mtu)
					}
					first, last := r.nodes[0], r.nodes[hops+1]
					a, b := newGuard(first, "192.0.2.1"), newGuard(last, "192.0.2.2")
					defer a.stop()
					defer b.stop()
					for i := 1; i < hops; i++ {
						r.nodes[i].wire.Seek(r.nodes[i+1].id()) // as neighbours do
					}
					last.wire.Seek(r.nodes[hops].id())
					first.wire.SetChains(last.id(), [][]key.Public{r.via(0, hops+1)})
					a.configure(b)
					first.wire.Want(last.id(), true)
					time.Sleep(200 * time.Millisecond)
					first.wantPath(last, Forwarded, "10.0.1.2:30000")
					last.wantPath(first, Forwarded, fmt.Sprintf("10.0.%d.1:30000", hops+1))
					if got := first.status(last).Path; len(got.Via) != hops || got.Via[0] != r.nodes[1].id() || got.RTT != time.Duration(hops+1)*4*time.Millisecond {
						t.Errorf("path %+v", got)
					}
					b.configure(a)
					for range 3 {
						if d := a.ping(b, time.Second); d < 0 || d > 100*time.Millisecond {
							t.Fatalf("a packet took %v", d)
						}
						if d := b.ping(a, time.Second); d < 0 || d > 100*time.Millisecond {
							t.Fatalf("a packet back took %v", d)
						}
					}
					echo(t, first, last)
				})
			})
		}
	}
}

// TestLyingHopOfTwo: where the second of two hops passes pings on and drops
// packets, the way is named, and nobody alone.
func TestLyingHopOfTwo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRow(t, 4)
		defer r.stop()
		first, liar, last := r.nodes[0], r.nodes[2], r.nodes[3]
		a, b := newGuard(first, "192.0.2.1"), newGuard(last, "192.0.2.2")
		defer a.stop()
		defer b.stop()
		r.nodes[1].wire.Seek(liar.id())
		last.wire.Seek(liar.id())
		first.wire.SetChains(last.id(), [][]key.Public{r.via(0, 3)})
		last.wire.SetChains(first.id(), [][]key.Public{r.via(3, 0)})
		a.configure(b)
		b.configure(a)
		first.wire.Want(last.id(), true)
		last.wire.Want(first.id(), true)
		time.Sleep(time.Second)
		if d := a.ping(b, time.Second); d < 0 {
			t.Fatal("no packet")
		}
		r.segs[2].SetFilter(func(d udptest.Datagram) bool {
			f, ok := frameOf(d, liar, last)
			return !ok || classify(f.data) != looksWireGuard
		})
		talk(a, b, 15*time.Second)
		got := first.wire.Net().Complaints
		if len(got) != 1 || got[0].What != OneDrops || !slices.Equal(got[0].Way, r.via(0, 3)) {
			t.Errorf("complaints %+v", got)
		}
	})
}
