package wire

import (
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
)

// TestFairShare: who asks for no more than a share gets it whole, whatever the
// others ask for, and what it leaves is theirs.
func TestFairShare(t *testing.T) {
	const rate, packet = 10e6, 1400
	type one struct{ weight, asks, gets float64 } // of the rate
	tests := []struct {
		name    string
		senders []one
	}{
		{"one alone", []one{{fairMember, 5, 1}}},
		{"all fits", []one{{fairMember, .5, .5}, {fairMember, .3, .3}, {fairGuest, .1, .1}}},
		{"greedy and modest", []one{{fairMember, 5, .8}, {fairMember, .2, .2}}},
		{"two greedy", []one{{fairMember, 5, .5}, {fairMember, 1, .5}}},
		{"a greedy guest", []one{{fairGuest, 5, .2}, {fairMember, 5, .8}}},
		{"a greedy guest and a modest member", []one{{fairGuest, 5, .6}, {fairMember, .4, .4}}},
		{"many modest", []one{{fairMember, 9, .4}, {fairMember, .1, .1}, {fairMember, .1, .1}, {fairMember, .2, .2}, {fairMember, .2, .2}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := fair{rate: rate}
			senders := make([]sender, len(tt.senders))
			asked, passed := make([]float64, len(senders)), make([]float64, len(senders))
			start := time.Unix(1e9, 0)
			const step, settles, lasts = time.Millisecond, time.Second, 11 * time.Second
			for at := time.Duration(0); at < lasts; at += step {
				for i, s := range tt.senders {
					for asked[i] += s.asks * rate * step.Seconds(); asked[i] >= packet; asked[i] -= packet {
						if f.allow(&senders[i], s.weight, packet, false, start.Add(at)) && at >= settles {
							passed[i] += packet
						}
					}
				}
			}
			for i, s := range tt.senders {
				if got := passed[i] / rate / (lasts - settles).Seconds(); math.Abs(got-s.gets) > .02 {
					t.Errorf("sender %d of weight %v asks for %v and gets %.3f, not %v", i, s.weight, s.asks, got, s.gets)
				}
			}
		})
	}
}

// flood sends packets at once every so often, until the end.
func flood(from, to *guard, packets int, every, lasts time.Duration) {
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(every) {
		for range packets {
			from.tun.Outbound <- large(to, from)
		}
	}
}

// received counts the packets that come out until the end of the returned
// function's wait.
func received(g *guard) (n *int, end func()) {
	n, stop, gone := new(int), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		for {
			select {
			case <-g.tun.Inbound:
				*n++
			case <-stop:
				return
			}
		}
	}()
	return n, func() { close(stop); <-gone }
}

// TestGreedySender: at a relay with a limit, one that floods does not cost
// another its packets.
func TestGreedySender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 4, 1)
		defer s.stop()
		var g []*guard
		for i, n := range s.ends {
			one := newGuard(n, []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}[i])
			defer one.stop()
			g = append(g, one)
		}
		time.Sleep(time.Second)
		for _, pair := range [][2]int{{0, 1}, {2, 3}} {
			s.chain(g[pair[0]], g[pair[1]])
		}
		time.Sleep(3 * time.Second)
		for _, pair := range [][2]int{{0, 1}, {2, 3}} {
			if d := g[pair[0]].ping(g[pair[1]], time.Second); d < 0 {
				t.Fatal("no packet")
			}
		}
		const rate = 1 << 20 // bytes a second
		s.relays[0].wire.SetForwarding(Forwarding{On: true, Rate: rate})
		greedy, stopGreedy := received(g[1])
		modest, stopModest := received(g[3])
		const lasts = 10 * time.Second
		done := make(chan struct{})
		go func() {
			defer close(done)
			flood(g[0], g[1], 14, 10*time.Millisecond, lasts) // twice the rate
		}()
		flood(g[2], g[3], 1, 10*time.Millisecond, lasts) // a seventh of it
		<-done
		time.Sleep(100 * time.Millisecond)
		stopGreedy()
		stopModest()
		if all := int(lasts / (10 * time.Millisecond)); *modest < all*98/100 {
			t.Errorf("%d of the modest one's %d packets have arrived", *modest, all)
		}
		share := rate*6/7*int(lasts/time.Second)/1420 - *modest/50
		if *greedy < share*8/10 || *greedy > share*12/10 {
			t.Errorf("%d of the greedy one's packets have arrived, its share is %d", *greedy, share)
		}
		if n := s.relays[0].wire.Net().Drops["share"]; n == 0 {
			t.Error("no drop is told")
		}
		g[0].n.wantPath(g[1].n, Relayed, "")
		g[2].n.wantPath(g[3].n, Relayed, "")
	})
}

// TestGuestIsBounded: what passes for a guest has an end, both ways, and comes
// back with time; control passes yet.
func TestGuestIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 2, 1)
		defer s.stop()
		target, guest, relay := s.ends[0], s.ends[1], s.relays[0]
		known := guest.peer()
		known.Guest = true
		set := func(n *node, p Peer) {
			n.wire.SetPeers(append(slices.DeleteFunc(s.peers(n), func(q Peer) bool { return q.ID == p.ID }), p))
		}
		set(target, known)
		known.Only = []key.Public{target.id()}
		set(relay, known)
		guest.wire.SetChains(target.id(), s.chains())
		a, b := newGuard(guest, "192.0.2.1"), newGuard(target, "192.0.2.2")
		defer a.stop()
		defer b.stop()
		a.configure(b)
		b.configure(a)
		guest.wire.Want(target.id(), true)
		time.Sleep(2 * time.Second)
		if d := a.ping(b, time.Second); d < 0 {
			t.Fatal("no packet")
		}
		spend := func() {
			relay.wire.mu.Lock()
			defer relay.wire.mu.Unlock()
			q := &relay.wire.dir.Load().byID[guest.id()].c.frames().visiting
			if q.used == 0 {
				t.Error("nothing is counted")
			}
			q.used, q.at = guestBurst+controlDebt/2, time.Now()
		}
		spend()
		if d := b.ping(a, 100*time.Millisecond); d >= 0 {
			t.Error("a packet to the guest passes")
		}
		spend()
		if d := a.ping(b, 100*time.Millisecond); d >= 0 {
			t.Error("a packet of the guest's passes")
		}
		spend()
		echo(t, guest, target)
		time.Sleep(time.Second)
		if d := a.ping(b, time.Second); d < 0 {
			t.Error("no packet after a second")
		}
		guest.wantPath(target, Relayed, "")
		if relay.wire.Net().Drops["share"] == 0 {
			t.Error("no drop is told")
		}
	})
}
