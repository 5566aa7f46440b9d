package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// frameOf gives the frame that from has sealed for to, if it is one.
func frameOf(d udptest.Datagram, from, to *node) (f frame, ok bool) {
	p := to.wire.dir.Load().byID[from.id()]
	if classify(d.Payload) != looksControl || len(d.Payload) < minSealed || p == nil {
		return f, false
	}
	s, err := p.sealer()
	if err != nil {
		return f, false
	}
	inner, err := s.open(bytes.Clone(d.Payload))
	if err != nil {
		return f, false
	}
	h, body, err := parseInner(inner)
	if err != nil || h.kind != kindForward {
		return f, false
	}
	f, err = parseFrame(body)
	return f, err == nil
}

// dropData makes a relay lose WireGuard's packets to an end, and nothing else.
func (s *star) dropData(end, relay int) {
	seg := s.segs[[2]int{end, relay}]
	seg.SetFilter(func(d udptest.Datagram) bool {
		f, ok := frameOf(d, s.relays[relay], s.ends[end])
		return !ok || classify(f.data) != looksWireGuard
	})
}

// joined is a star of two ends and some relays with a path over the first.
func joined(t *testing.T, relays int) (s *star, a, b *guard) {
	s = newStar(t, 2, relays)
	a, b = newGuard(s.ends[0], "192.0.2.1"), newGuard(s.ends[1], "192.0.2.2")
	time.Sleep(time.Second)
	s.chain(a, b)
	time.Sleep(3 * time.Second)
	if d := a.ping(b, time.Second); d < 0 {
		t.Fatal("no packet")
	}
	return s, a, b
}

// chain has two ends want each other over the relays.
func (s *star) chain(a, b *guard) {
	a.n.wire.SetChains(b.n.id(), s.chains())
	b.n.wire.SetChains(a.n.id(), s.chains())
	a.configure(b)
	b.configure(a)
	a.n.wire.Want(b.n.id(), true)
	b.n.wire.Want(a.n.id(), true)
}

// TestLyingHop: a relay that passes pings on and drops packets is found out
// and avoided, and named.
func TestLyingHop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := joined(t, 2)
		defer s.stop()
		defer a.stop()
		defer b.stop()
		a.n.wantPath(b.n, Relayed, "10.1.1.1:30000")
		time.AfterFunc(2*time.Second, func() { s.dropData(0, 0); s.dropData(1, 0) })
		if gap := talk(a, b, 15*time.Second); gap > 3*time.Second {
			t.Errorf("a gap of %v", gap)
		}
		for _, g := range []*guard{a, b} {
			if got := g.n.wire.Net().Complaints; len(got) != 1 || got[0].ID != s.relays[0].id() || got[0].What != DropsPackets {
				t.Errorf("complaints %+v", got)
			}
		}
		a.n.wantPath(b.n, Relayed, "10.1.2.1:30000")
		b.n.wantPath(a.n, Relayed, "10.2.2.1:30000")
	})
}

// TestUnreachable: what a hop cannot pass on is known at once.
func TestUnreachable(t *testing.T) {
	for name, cut := range map[string]func(s *star){
		"not a peer":     func(s *star) { s.relays[0].wire.SetPeers([]Peer{s.ends[0].peer()}) },
		"not forwarding": func(s *star) { s.relays[0].wire.SetForwarding(Forwarding{}) },
		"quota":          func(s *star) { s.relays[0].wire.SetForwarding(Forwarding{On: true, Quota: 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, a, b := joined(t, 1)
				defer s.stop()
				defer a.stop()
				defer b.stop()
				a.n.wantPath(b.n, Relayed, "")
				cut(s)
				a.tun.Outbound <- echoTo(b, a)
				time.Sleep(10 * time.Millisecond)
				a.n.wantPath(b.n, None, "")
			})
		})
	}
}

// TestQuota: what is passed on within a day is bounded, a sender's share of it
// too; the report says how much was used.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, a, b := joined(t, 1)
		defer s.stop()
		defer a.stop()
		defer b.stop()
		const quota = 100 << 10
		s.relays[0].wire.SetForwarding(Forwarding{On: true, Quota: quota})
		arrived := 0
		for range 500 {
			a.tun.Outbound <- large(b, a)
			select {
			case <-b.tun.Inbound:
				arrived += 1420
			case <-time.After(20 * time.Millisecond):
			}
		}
		if arrived < quota/3 || arrived > quota/2 {
			t.Errorf("%d bytes have arrived, of a quota of %d", arrived, quota)
		}
		if n := s.relays[0].wire.Net(); n.Forwarded < quota/3 || n.Drops["quota"] == 0 {
			t.Errorf("%d bytes reported, %v", n.Forwarded, n.Drops)
		}
	})
}

// large is a packet of 1,420 bytes.
func large(to, from *guard) []byte {
	b := append(echoTo(to, from), make([]byte, 1420)...)[:1420]
	binary.BigEndian.PutUint16(b[2:], 1420)
	return b
}

// TestNarrowHops: packets that a frame does not fit around pass in pieces,
// also where a later hop is the narrow one.
func TestNarrowHops(t *testing.T) {
	for _, c := range []struct {
		name string
		mtu  [2]int
	}{{"wide", [2]int{1500, 1500}}, {"first", [2]int{1300, 1500}}, {"second", [2]int{1600, 1300}}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStar(t, 2, 1)
				defer s.stop()
				for i := range s.ends {
					s.segs[[2]int{i, 0}].SetMTU(c.mtu[i])
				}
				a, b := newGuard(s.ends[0], "192.0.2.1"), newGuard(s.ends[1], "192.0.2.2")
				defer a.stop()
				defer b.stop()
				a.configure(b)
				b.configure(a)
				a.n.wire.SetChains(b.n.id(), s.chains())
				a.n.wire.Want(b.n.id(), true)
				time.Sleep(5 * time.Second)
				a.ping(b, time.Second)
				b.ping(a, time.Second)
				for range 20 {
					a.tun.Outbound <- large(b, a)
					b.tun.Outbound <- large(a, b)
				}
				for range 20 {
					for _, g := range []*guard{a, b} {
						select {
						case got := <-g.tun.Inbound:
							if len(got) != 1420 {
								t.Fatalf("%d bytes", len(got))
							}
						case <-time.After(time.Second):
							t.Fatal("not all have arrived")
						}
					}
				}
				if got, want := a.n.wire.MTU(b.n.id()), 1280; got < want || c.mtu[0] == 1500 && got != 1328 {
					t.Errorf("the MTU is %d", got)
				}
			})
		})
	}
}

// forge has a relay send end 1 a frame of its making.
func (s *star) forge(t *testing.T, f frame) {
	t.Helper()
	w := s.relays[0].wire
	q := w.dir.Load().byID[s.ends[1].id()]
	r := q.near.Load()
	if r == nil {
		t.Fatal("no path")
	}
	tr := new(transit)
	tr.add(w, q, r, &f)
	tr.flush(w)
	time.Sleep(10 * time.Millisecond)
}

// TestForgedFrames: a relay that swaps frames, names others as origin, loops
// them or passes on what was recorded changes nothing.
func TestForgedFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 3, 1)
		defer s.stop()
		a, b, c, r := s.ends[0], s.ends[1], s.ends[2], s.relays[0]
		var seen []frame
		s.segs[[2]int{1, 0}].SetFilter(func(d udptest.Datagram) bool {
			if f, ok := frameOf(d, r, b); ok && f.pos == 2 {
				f.data = bytes.Clone(f.data)
				seen = append(seen, f)
			}
			return true
		})
		time.Sleep(time.Second)
		for _, n := range []*node{a, c} {
			n.wire.SetChains(b.id(), s.chains())
			n.wire.Seek(b.id())
		}
		time.Sleep(time.Second)
		b.wantPath(a, Relayed, "")
		b.wantPath(c, Relayed, "")
		told := func() string {
			return fmt.Sprint(a.told(), b.told(), c.told(), b.status(a).Path.Via, b.status(c).Path.Via,
				len(b.peerOf(a).c.paths.all), len(b.peerOf(c).c.paths.all))
		}
		told()
		want := told()
		recorded := slices.Clone(seen)
		if len(recorded) < 4 {
			t.Fatalf("%d frames", len(recorded))
		}
		stranger := tag{1, 2, 3}
		for _, f := range recorded {
			s.forge(t, f)
			for _, origin := range []tag{a.wire.tag, c.wire.tag, r.wire.tag, b.wire.tag, stranger} {
				g := f
				g.nodes[0] = origin
				s.forge(t, g)
			}
			g := f
			g.pos, g.count = 3, 4
			g.nodes = [maxNodes]tag{stranger, a.wire.tag, r.wire.tag, b.wire.tag}
			s.forge(t, g)
			g.data = g.appendHead(nil) // a frame in a frame
			s.forge(t, g)
		}
		if got := told(); got != want {
			t.Errorf("changed: %q, were %q", got, want)
		}
	})
}

// TestFrameFlood: frames that go nowhere cost answers at a bounded rate.
func TestFrameFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 2, 1)
		defer s.stop()
		time.Sleep(time.Second)
		a, r := s.ends[0], s.relays[0]
		var answers atomic.Int32
		s.segs[[2]int{0, 0}].SetFilter(func(d udptest.Datagram) bool {
			if d.From.Port() == testPort && (d.From.Addr() == s.addr(0, 0, 1)) {
				answers.Add(1)
			}
			return true
		})
		w := a.wire
		q := w.dir.Load().byID[r.id()]
		tr := new(transit)
		for range 100 {
			for i := range 100 {
				f := frame{pos: 1, count: 3, nodes: [maxNodes]tag{w.tag, r.wire.tag, {9, byte(i)}}, data: make([]byte, 1000)}
				tr.add(w, q, q.near.Load(), &f)
			}
			tr.flush(w)
			time.Sleep(10 * time.Millisecond)
		}
		if n := answers.Load(); n > 60 {
			t.Errorf("%d answers to 10,000 frames in a second", n)
		}
	})
}

// TestJoinOverRelay: holders of an invite reach its sponsor over a relay, all
// at once; nobody else, and nobody else them.
func TestJoinOverRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 4, 1)
		defer s.stop()
		sponsor, other, relay := s.ends[0], s.ends[1], s.relays[0]
		invite := key.New()
		holder := Peer{ID: invite.Public(), Control: invite.Exchange().Public(), Shared: true}
		for _, n := range []*node{sponsor, other} {
			n.wire.SetPeers(append(s.peers(n), holder))
		}
		atRelay := holder
		atRelay.Only = []key.Public{sponsor.id()}
		relay.wire.SetPeers(append(s.peers(relay), atRelay))
		time.Sleep(time.Second)
		var sessions []Session
		for i, j := range s.ends[2:] {
			j.wire.Close()
			j.device, j.control = invite, invite.Exchange()
			j.start()
			r := relay.peer()
			r.Relay = &Relay{Addrs: []netip.AddrPort{netip.AddrPortFrom(s.addr(2+i, 0, 1), testPort)}}
			j.wire.SetPeers([]Peer{r, sponsor.peer(), other.peer()})
			j.wire.SetChains(sponsor.id(), s.chains())
			j.wire.SetChains(other.id(), s.chains())
			start := time.Now()
			a, _ := echo(t, j, sponsor)
			if d := time.Since(start); d > time.Second {
				t.Errorf("it took %v", d)
			}
			sessions = append(sessions, a)
			j.wantPath(sponsor, Relayed, "")
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if _, err := j.wire.Dial(ctx, other.id()); err == nil {
				t.Error("another member was reached")
			}
			cancel()
		}
		for _, a := range sessions {
			if a.Context().Err() != nil {
				t.Error("a session has ended")
			}
		}
		// What passes for each of them has an end, and comes back with time.
		relay.wire.mu.Lock()
		for _, p := range relay.wire.dir.Load().byID[holder.ID].c.instances {
			if b := &p.c.frames().joining; b.used == 0 {
				t.Error("nothing is counted")
			} else {
				b.used, b.at = joinBurst, time.Now()
			}
		}
		relay.wire.mu.Unlock()
		before := relay.wire.Net().Drops["quota"]
		for _, a := range sessions {
			st, err := a.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			st.Write(make([]byte, 32<<10))
		}
		time.Sleep(10 * time.Millisecond)
		if after := relay.wire.Net().Drops["quota"]; after == before {
			t.Error("all passes")
		}
	})
}

// TestGuestOverRelay: a guest reaches what is shared with it over a relay, and
// no other member.
func TestGuestOverRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 3, 1)
		defer s.stop()
		target, other, guest, relay := s.ends[0], s.ends[1], s.ends[2], s.relays[0]
		known := guest.peer()
		known.Guest = true
		for _, n := range []*node{target, other} {
			n.wire.SetPeers(append(slices.DeleteFunc(s.peers(n), func(p Peer) bool { return p.ID == known.ID }), known))
		}
		known.Only = []key.Public{target.id()}
		relay.wire.SetPeers(append(slices.DeleteFunc(s.peers(relay), func(p Peer) bool { return p.ID == known.ID }), known))
		for _, n := range []*node{target, other} {
			guest.wire.SetChains(n.id(), s.chains())
		}
		echo(t, guest, target)
		guest.wantPath(target, Relayed, "")
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := guest.wire.Dial(ctx, other.id()); err == nil {
			t.Error("another member was reached")
		}
	})
}

// TestForwardedYields: a forwarder is used rather than a relay, unless it is
// slower by far.
func TestForwardedYields(t *testing.T) {
	for _, c := range []struct {
		name  string
		delay time.Duration
		want  PathKind
	}{{"a little slower", 6 * time.Millisecond, Forwarded}, {"much slower", 30 * time.Millisecond, Relayed}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStar(t, 2, 2)
				defer s.stop()
				for i, n := range s.ends {
					peers := s.peers(n)
					for j := range peers {
						if peers[j].ID == s.relays[0].id() {
							peers[j].Candidates, peers[j].Relay = peers[j].Relay.Addrs, nil
						}
					}
					n.wire.SetPeers(peers)
					s.segs[[2]int{i, 0}].SetDelay(c.delay)
				}
				s.ends[1].wire.Seek(s.relays[0].id())
				time.Sleep(time.Second)
				s.ends[0].wire.SetChains(s.ends[1].id(), s.chains())
				s.ends[0].wire.Want(s.ends[1].id(), true)
				time.Sleep(5 * time.Second)
				s.ends[0].wantPath(s.ends[1], c.want, "")
			})
		})
	}
}

// TestRemoved: a device that was removed can still be told so by who relays and
// passes on. It reaches nobody through it, nobody reaches it, it is not told of
// other addresses, and what it says of its own is not taken.
func TestRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 3, 1)
		defer s.stop()
		member, relay := s.ends[0], s.relays[0]
		gone := s.ends[1:]
		for _, n := range gone {
			echo(t, n, relay) // as a member, which leaves paths
		}
		peers := s.peers(relay)
		for i := range peers {
			peers[i].Removed = peers[i].ID != member.id()
		}
		relay.wire.SetPeers(peers)
		for _, q := range relay.wire.Neighbours() {
			if q.ID != member.id() {
				t.Error("it counts as a neighbour")
			}
		}
		gone[0].restart(s.peers(gone[0])...)
		for _, n := range s.ends {
			for _, o := range s.ends {
				if n != o {
					n.wire.SetChains(o.id(), s.chains())
				}
			}
		}
		for _, n := range gone {
			echo(t, n, relay)
		}
		for _, c := range [][2]*node{{gone[0], member}, {gone[0], gone[1]}, {member, gone[1]}} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if _, err := c[0].wire.Dial(ctx, c[1].id()); err == nil {
				t.Error("reached through it")
			}
			cancel()
		}
		if got := gone[0].status(relay).Candidates; len(got) != 1 {
			t.Errorf("it was told of %v", got)
		}
		relay.wire.mu.Lock()
		defer relay.wire.mu.Unlock()
		for _, n := range gone {
			p := relay.peerOf(n)
			if n == gone[0] && p.c.toldAny {
				t.Error("its addresses were taken")
			}
			p.c.told = []told{{addr: addr("203.0.113.9:4000"), nat: NATHard}}
			var out outbox
			p.handleProven(header{kind: kindMeet, from: p.c.boot}, nil, arrival{from: p.c.paths.best.place, now: time.Now()}, &out)
		}
		if relay.wire.sprays != 0 {
			t.Error("it is looked for")
		}
	})
}
