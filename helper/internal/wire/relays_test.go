package wire

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// star is nodes of which each shares a segment with each relay alone.
type star struct {
	net    *udptest.Net
	relays []*node
	ends   []*node
	segs   map[[2]int]*udptest.Segment // by end and relay
}

// newStar makes ends and relays; end i reaches relay j at 10.i.j.1 and is 10.i.j.2.
func newStar(t testing.TB, ends, relays int) *star {
	s := &star{net: udptest.NewNet(), segs: map[[2]int]*udptest.Segment{}}
	var eh, rh []*udptest.Host
	for i := range ends {
		eh = append(eh, s.net.Host("end"+string(rune('a'+i))))
	}
	for j := range relays {
		rh = append(rh, s.net.Host("relay"+string(rune('a'+j))))
		for i := range ends {
			seg := s.net.Segment("s")
			seg.SetDelay(time.Duration(2+j) * time.Millisecond)
			rh[j].Attach(seg, netip.PrefixFrom(s.addr(i, j, 1), 24))
			eh[i].Attach(seg, netip.PrefixFrom(s.addr(i, j, 2), 24))
			s.segs[[2]int{i, j}] = seg
		}
	}
	for j := range relays {
		s.relays = append(s.relays, newNode(t, "relay", rh[j]))
		s.relays[j].wire.SetForwarding(Forwarding{On: true})
	}
	for i := range ends {
		s.ends = append(s.ends, newNode(t, "end", eh[i]))
	}
	for _, n := range append(slices.Clone(s.relays), s.ends...) {
		n.wire.SetPeers(s.peers(n))
	}
	return s
}

func (s *star) addr(end, relay, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(end + 1), byte(relay + 1), byte(host)})
}

// peers is all others, as n knows them: of relays where they are.
func (s *star) peers(n *node) (out []Peer) {
	for _, e := range s.ends {
		if e != n {
			out = append(out, e.peer())
		}
	}
	for j, r := range s.relays {
		if r == n {
			continue
		}
		p := r.peer()
		p.Relay = &Relay{Host: r.name}
		if i := slices.Index(s.ends, n); i >= 0 {
			p.Relay.Addrs = []netip.AddrPort{netip.AddrPortFrom(s.addr(i, j, 1), testPort)}
		}
		out = append(out, p)
	}
	return out
}

func (s *star) chains() (out [][]key.Public) {
	for _, r := range s.relays {
		out = append(out, []key.Public{r.id()})
	}
	return out
}

func (s *star) stop() {
	for _, n := range append(slices.Clone(s.relays), s.ends...) {
		n.stop()
	}
}

// TestRelayed: two nodes that only a relay reaches find each other over it; a
// second relay takes over within a second when the first is killed.
func TestRelayKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 2, 2)
		defer s.stop()
		a, b := newGuard(s.ends[0], "192.0.2.1"), newGuard(s.ends[1], "192.0.2.2")
		defer a.stop()
		defer b.stop()
		time.Sleep(time.Second) // the relays are measured
		a.n.wire.SetChains(b.n.id(), s.chains())
		a.configure(b)
		b.configure(a)
		a.n.wire.Want(b.n.id(), true)
		time.Sleep(50 * time.Millisecond)
		a.n.wantPath(b.n, Relayed, "")
		if got := a.n.status(b.n).Path.Via; !slices.Equal(got, []key.Public{s.relays[0].id()}) {
			t.Errorf("via %v", got)
		}
		time.Sleep(10 * time.Second)
		time.AfterFunc(2*time.Second, func() {
			for i := range s.ends {
				s.segs[[2]int{i, 0}].SetLoss(1)
			}
		})
		if gap := talk(a, b, 10*time.Second); gap > time.Second {
			t.Errorf("a gap of %v", gap)
		}
		a.n.wantPath(b.n, Relayed, "10.1.2.1:30000")
		b.n.wantPath(a.n, Relayed, "10.2.2.1:30000")
	})
}

// linkBed dials links in memory to the relays of a star.
func (s *star) linkBed(dialed *atomic.Int32, refuse bool) func(context.Context, Relay, func([]byte) ([]byte, error)) (Link, error) {
	return func(ctx context.Context, r Relay, token func([]byte) ([]byte, error)) (Link, error) {
		dialed.Add(1)
		if refuse {
			return nil, errors.New("no TCP here")
		}
		binding := bytes.Repeat([]byte{7}, 32)
		tok, err := token(binding)
		if err != nil {
			return nil, err
		}
		for _, n := range s.relays {
			if id, ok := n.wire.OpenToken(tok, binding); ok {
				la, lb := linkPair()
				n.wire.Attach(id, lb)
				return la, nil
			}
		}
		return nil, errors.New("a plain 404")
	}
}

// withoutUDP restarts the first end, where nothing gets through but links to the
// relays, and counts those.
func (s *star) withoutUDP(refuse bool) (n *node, dialed *atomic.Int32) {
	dialed = new(atomic.Int32)
	s.segs[[2]int{0, 0}].SetLoss(1)
	n = s.ends[0]
	n.wire.Close()
	n.dialLink = s.linkBed(dialed, refuse)
	n.start()
	n.wire.SetPeers(s.peers(n))
	return n, dialed
}

// TestLinkDialled: where UDP does not work the relay is linked to, and packets
// flow over the link; when UDP is back the link is closed.
func TestLinkDialled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 2, 1)
		defer s.stop()
		n, dialed := s.withoutUDP(false)
		a, b := newGuard(n, "192.0.2.1"), newGuard(s.ends[1], "192.0.2.2")
		defer a.stop()
		defer b.stop()
		a.configure(b)
		b.configure(a)
		n.wire.SetChains(b.n.id(), s.chains())
		n.wire.Want(b.n.id(), true)
		time.Sleep(500 * time.Millisecond)
		if dialed.Load() != 1 {
			t.Fatalf("%d links dialled", dialed.Load())
		}
		n.wantPath(s.relays[0], Direct, "invalid AddrPort")
		n.wantPath(b.n, Relayed, "invalid AddrPort")
		if p := n.status(b.n).Path; p.Transport != TLS {
			t.Errorf("the transport is %v", p.Transport)
		}
		b.n.wantPath(n, Relayed, "10.2.1.1:30000")
		for range 3 {
			if d := a.ping(b, time.Second); d < 0 || d > 100*time.Millisecond {
				t.Fatalf("a packet took %v", d)
			}
			if d := b.ping(a, time.Second); d < 0 || d > 100*time.Millisecond {
				t.Fatalf("a packet back took %v", d)
			}
		}
		if r := n.wire.Net().Relays; len(r) != 1 || r[0].UDP != 0 || r[0].Error != "" {
			t.Errorf("report %+v", r)
		}
		s.segs[[2]int{0, 0}].SetLoss(0)
		time.Sleep(2 * time.Minute)
		n.wantPath(s.relays[0], LAN, "")
		time.Sleep(linkSpare)
		n.wire.mu.Lock()
		if len(n.wire.carriers.links) != 0 {
			t.Error("the link is open yet")
		}
		n.wire.mu.Unlock()
		n.wantPath(b.n, Relayed, "")
		s.segs[[2]int{0, 0}].SetLoss(1)
		if gap := talk(a, b, 5*time.Second); gap > 2*time.Second {
			t.Errorf("a gap of %v", gap)
		}
		if dialed.Load() != 2 {
			t.Errorf("%d links dialled", dialed.Load())
		}
	})
}

// TestLinkAtOnce: who knows that UDP gets no answer does not wait for one.
func TestLinkAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 1, 1)
		defer s.stop()
		n, dialed := s.withoutUDP(false)
		n.wire.Link(s.relays[0].id())
		time.Sleep(linkAfter / 4)
		if dialed.Load() != 1 {
			t.Fatalf("%d links dialled", dialed.Load())
		}
		n.wantPath(s.relays[0], Direct, "invalid AddrPort")
	})
}

// TestLinkRefused: a relay that cannot be linked to is not hammered.
func TestLinkRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 1, 1)
		defer s.stop()
		n, dialed := s.withoutUDP(true)
		time.Sleep(10 * time.Minute)
		if got := dialed.Load(); got < 8 || got > 20 {
			t.Errorf("%d links dialled in ten minutes", got)
		}
		if r := n.wire.Net().Relays; r[0].Error != "no TCP here" {
			t.Errorf("report %+v", r)
		}
	})
}

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		a.wire.SetPeers([]Peer{b.peer()})
		b.wire.SetPeers([]Peer{a.peer()})
		binding := []byte("what the stream's ends know")
		seal := func(k kind) []byte {
			tok, err := a.wire.dir.Load().byID[b.id()].sealDatagram(nil, header{kind: k, from: a.wire.boot}, binding)
			if err != nil {
				t.Fatal(err)
			}
			return tok
		}
		tok := seal(kindToken)
		if id, ok := b.wire.OpenToken(tok, binding); !ok || id != a.id() {
			t.Error("refused")
		}
		if _, ok := b.wire.OpenToken(tok, []byte("another stream's")); ok {
			t.Error("of another stream")
		}
		if _, ok := b.wire.OpenToken(seal(kindPing), binding); ok {
			t.Error("another datagram")
		}
		if _, ok := a.wire.OpenToken(tok, binding); ok {
			t.Error("someone else's")
		}
		tok[40]++
		if _, ok := b.wire.OpenToken(tok, binding); ok {
			t.Error("forged")
		}
		if _, ok := b.wire.OpenToken(nil, nil); ok {
			t.Error("nothing")
		}
	})
}

// TestKeptRelays: the two nearest of four are kept, the others are let go;
// a much nearer one is kept after the next measurement.
func TestKeptRelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStar(t, 1, 4)
		defer s.stop()
		n := s.ends[0]
		kept := func() (out []int) {
			for _, r := range n.wire.Net().Relays {
				if r.Kept {
					out = append(out, slices.IndexFunc(s.relays, func(o *node) bool { return o.id() == r.ID }))
				}
			}
			slices.Sort(out)
			return out
		}
		for j := range 4 {
			s.segs[[2]int{0, j}].SetDelay(time.Duration(20*(j+1)) * time.Millisecond)
		}
		n.wire.NetworkChanged()
		time.Sleep(6 * time.Second)
		if got := kept(); !slices.Equal(got, []int{0, 1}) {
			t.Fatalf("kept %v", got)
		}
		s.segs[[2]int{0, 3}].SetDelay(30 * time.Millisecond)
		time.Sleep(11 * time.Minute)
		if got := kept(); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("one little nearer: kept %v", got)
		}
		s.segs[[2]int{0, 2}].SetDelay(2 * time.Millisecond)
		n.wire.NetworkChanged()
		time.Sleep(6 * time.Second)
		if got := kept(); !slices.Contains(got, 2) {
			t.Errorf("one much nearer: kept %v", got)
		}
		s.segs[[2]int{0, 2}].SetLoss(1)
		s.segs[[2]int{0, 0}].SetLoss(1)
		time.Sleep(40 * time.Second)
		if got := kept(); slices.Contains(got, 0) || slices.Contains(got, 2) {
			t.Errorf("two dead: kept %v", got)
		}
	})
}

// TestNeighbours: who is reached without help is a neighbour, at once at
// first, and a loss is told at once.
func TestNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRow(t, 3)
		defer r.stop()
		n := r.nodes[1]
		changed := func() bool {
			synctest.Wait()
			return n.changes.Swap(0) > 0
		}
		n.wire.Seek(r.nodes[0].id())
		time.Sleep(10 * time.Millisecond)
		if !changed() {
			t.Error("not told of the first")
		}
		n.wire.Seek(r.nodes[2].id())
		time.Sleep(500 * time.Millisecond)
		if changed() {
			t.Error("told of the second at once")
		}
		time.Sleep(600 * time.Millisecond)
		if !changed() {
			t.Error("not told of the second")
		}
		if got := n.wire.Neighbours(); len(got) != 2 || got[0].RTT != 4*time.Millisecond || got[0].Kind != LAN {
			t.Errorf("neighbours %v", got)
		}
		n.wire.SetPeers(nil)
		if !changed() {
			t.Error("not told of the loss")
		}
		if got := n.wire.Neighbours(); len(got) != 0 {
			t.Errorf("neighbours %v", got)
		}
	})
}
