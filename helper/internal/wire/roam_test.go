package wire

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp/udptest"
)

// talk pings ten times a second for so long and returns the longest gap
// between answers.
func talk(a, b *guard, long time.Duration) (gap time.Duration) {
	last := time.Now()
	stop := make(chan struct{})
	defer close(stop)
	go func() { // b answers what arrives
		for {
			select {
			case <-b.tun.Inbound:
				select {
				case b.tun.Outbound <- echoTo(a, b):
				case <-stop:
					return
				}
			case <-stop:
				return
			}
		}
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(long); ; {
		select {
		case <-tick.C:
			a.tun.Outbound <- echoTo(b, a)
		case <-a.tun.Inbound:
			gap = max(gap, time.Since(last))
			last = time.Now()
		case <-end:
			return max(gap, time.Since(last))
		}
	}
}

// TestRoam: an address changes, on the one side or the other, with or without
// the system's word of it; a 10 Hz ping has a gap of under a second.
func TestRoam(t *testing.T) {
	for _, c := range []struct {
		name string
		told bool
		pick func(a, b *guard) *guard
	}{
		{"the caller, told", true, func(a, b *guard) *guard { return a }},
		{"the caller, not told", false, func(a, b *guard) *guard { return a }},
		{"the called, told", true, func(a, b *guard) *guard { return b }},
		{"the called, not told", false, func(a, b *guard) *guard { return b }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seg, a, b := guards(t)
				defer a.end()
				defer b.end()
				// Only IPv4: else the link-local path would stay.
				seg.SetFilter(func(d udptest.Datagram) bool { return d.To.Addr().Is4() })
				b.configure(a)
				a.configure(b)
				a.n.wire.Want(b.n.id(), true)
				b.n.wire.Want(a.n.id(), true)
				if gap := talk(a, b, 5*time.Second); gap > 150*time.Millisecond {
					t.Fatalf("a gap of %v without a cause", gap)
				}
				g := c.pick(a, b)
				g.n.host.Attach(seg, netip.MustParsePrefix("10.0.0.77/24"))
				if c.told {
					g.n.setLocal()
					g.n.wire.NetworkChanged()
				}
				if gap := talk(a, b, 10*time.Second); gap > 900*time.Millisecond {
					t.Fatalf("a gap of %v", gap)
				}
				if g == a {
					b.n.wantPath(a.n, LAN, "10.0.0.77:30000")
				} else {
					a.n.wantPath(b.n, LAN, "10.0.0.77:30000")
				}
			})
		})
	}
}

// TestUplinkLost: one of two segments fails silently; traffic moves to the
// other, and back to the better class when it recovers.
func TestUplinkLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		one, two := n.Segment("one"), n.Segment("two")
		ha, hb := n.Host("a"), n.Host("b")
		for i, s := range []*udptest.Segment{one, two} {
			s.SetDelay(2 * time.Millisecond)
			ha.Attach(s, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 1}), 24))
			hb.Attach(s, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 2}), 24))
			s.SetFilter(func(d udptest.Datagram) bool { return d.To.Addr().Is4() })
		}
		na, nb := newNode(t, "a", ha), newNode(t, "b", hb)
		na.wire.SetPeers([]Peer{nb.peer(addr("10.0.0.2:30000"), addr("10.1.0.2:30000"))})
		nb.wire.SetPeers([]Peer{na.peer(addr("10.0.0.1:30000"), addr("10.1.0.1:30000"))})
		a, b := newGuard(na, "192.0.2.1"), newGuard(nb, "192.0.2.2")
		defer a.end()
		defer b.end()
		b.configure(a)
		a.configure(b)
		na.wire.Want(nb.id(), true)
		nb.wire.Want(na.id(), true)
		if gap := talk(a, b, 3*time.Second); gap > 150*time.Millisecond {
			t.Fatalf("a gap of %v without a cause", gap)
		}
		first := na.status(nb).Path.Addr
		broken := one
		if first.Addr().As4()[1] == 1 {
			broken = two
		}
		broken.SetDown(true)
		if gap := talk(a, b, 8*time.Second); gap > 900*time.Millisecond {
			t.Fatalf("a gap of %v", gap)
		}
		if got := na.status(nb).Path.Addr; got == first {
			t.Fatal("still on the broken path")
		}
		broken.SetDown(false)
		if gap := talk(a, b, 3*time.Second); gap > 150*time.Millisecond {
			t.Fatalf("a gap of %v as the path came back", gap)
		}
	})
}

// TestPathLostAndFound: nothing gets through, then it does again.
func TestPathLostAndFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seg, a, b := guards(t)
		defer a.end()
		defer b.end()
		b.configure(a)
		a.configure(b)
		a.n.wire.Want(b.n.id(), true)
		talk(a, b, 2*time.Second)
		a.n.told()
		seg.SetDown(true)
		talk(a, b, 10*time.Second)
		a.n.wantPath(b.n, None, "")
		if got := a.n.told(); len(got) == 0 || got[len(got)-1] != "path none invalid AddrPort" {
			t.Fatalf("told %q, not that the path is gone", got)
		}
		if s := a.n.status(b.n); s.Reason != Silent {
			t.Fatalf("reason %v", s.Reason)
		}
		seg.SetDown(false)
		start := time.Now()
		for a.n.status(b.n).Path.Kind == None {
			time.Sleep(100 * time.Millisecond)
			if time.Since(start) > 3*time.Second {
				t.Fatal("no path after three seconds")
			}
		}
	})
}

// TestIdle: a peer that nobody talks to costs no packet on a LAN, and one in
// 25 seconds elsewhere.
func TestIdle(t *testing.T) {
	for _, c := range []struct {
		name string
		lan  bool
		max  int
	}{{"lan", true, 8}, {"direct", false, 4 * 60 / 25 * 10}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, seg, a, b := lan(t)
				defer a.stop()
				defer b.stop()
				seg.SetDelay(2 * time.Millisecond)
				if !c.lan {
					a.wire.SetLocal(nil, nil)
					b.wire.SetLocal(nil, nil)
				}
				a.wire.SetPeers([]Peer{b.peer(addr("10.0.0.2:30000"))})
				b.wire.SetPeers([]Peer{a.peer()})
				a.wire.Want(b.id(), true)
				time.Sleep(3 * time.Minute)
				count := 0
				seg.SetFilter(func(udptest.Datagram) bool { count++; return true })
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if count > c.max {
					t.Errorf("%d datagrams in ten minutes, want at most %d", count, c.max)
				}
				if !c.lan && count < 40 {
					t.Errorf("%d datagrams in ten minutes keep no NAT open", count)
				}
				if s := a.status(b); s.Reason != Confirmed {
					t.Errorf("the path is %v", s.Reason)
				}
			})
		})
	}
}

// TestFirewalls: both sides drop what is unasked for; they find each other
// because each learns of the other at about the same time.
func TestFirewalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, seg, a, b := lan(t)
		defer a.stop()
		defer b.stop()
		seg.SetDelay(2 * time.Millisecond)
		a.host.SetFirewall(true)
		b.host.SetFirewall(true)
		a.wire.SetPeers([]Peer{b.peer(addr("10.0.0.2:30000"))})
		b.wire.SetPeers([]Peer{a.peer(addr("10.0.0.1:30000"))})
		a.wire.Seek(b.id())
		b.wire.Seek(a.id())
		time.Sleep(500 * time.Millisecond)
		a.wantPath(b, LAN, "")
		b.wantPath(a, LAN, "")
	})
}

// TestCut: a peer that is no longer one can neither send nor receive, at once.
func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seg, a, b := guards(t)
		defer a.end()
		defer b.end()
		b.configure(a)
		a.configure(b)
		s, r := echo(t, a.n, b.n)
		if d := a.ping(b, time.Second); d < 0 {
			t.Fatal("no packet")
		}
		a.n.wire.SetPeers(nil)
		select {
		case <-s.Context().Done():
		case <-time.After(100 * time.Millisecond):
			t.Fatal("the session lives on")
		}
		var closed *quic.ApplicationError
		if err := context.Cause(s.Context()); !errors.As(err, &closed) || closed.ErrorCode != CodeCut {
			t.Fatalf("the session ended with %v", err)
		}
		sent := 0
		seg.SetFilter(func(d udptest.Datagram) bool {
			if d.From.Addr() == netip.MustParseAddr("10.0.0.1") {
				sent++
			}
			return true
		})
		if a.ping(b, time.Second) >= 0 {
			t.Error("a packet went out")
		}
		if _, err := a.n.wire.Dial(t.Context(), b.n.id()); !errors.Is(err, ErrUnknownPeer) {
			t.Errorf("dial: %v", err)
		}
		b.n.wire.NetworkChanged()
		time.Sleep(5 * time.Second)
		if sent != 0 {
			t.Errorf("%d datagrams were sent", sent)
		}
		select {
		case <-r.Context().Done():
		case <-time.After(time.Minute):
			t.Error("the other side's session lives on")
		}
	})
}

// TestUnchangedPeers: setting the same peers again disturbs nothing.
func TestUnchangedPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := guards(t)
		defer a.end()
		defer b.end()
		s, _ := echo(t, a.n, b.n)
		a.n.told()
		a.n.wire.SetPeers([]Peer{{ID: key.New().Public(), Control: key.NewExchange().Public()}, b.n.peer()})
		if got := a.n.told(); len(got) != 0 {
			t.Errorf("told %q", got)
		}
		if s.Context().Err() != nil || a.n.status(b.n).Path.Kind != LAN {
			t.Error("path or session lost")
		}
	})
}

// TestRestartEndsSessions: the survivor's session dies when its peer restarts,
// not after an idle time.
func TestRestartEndsSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := guards(t)
		defer a.end()
		defer b.end()
		_, r := echo(t, a.n, b.n)
		// A crash says no farewell.
		a.n.wire.mu.Lock()
		for _, p := range a.n.wire.dir.Load().byID {
			p.route.Store(nil)
			p.c.sessions = nil
		}
		a.n.wire.mu.Unlock()
		a.stop()
		a.n.restart(b.n.peer(addr("10.0.0.2:30000")))
		a.n.wire.Seek(b.n.id())
		time.Sleep(20 * time.Millisecond)
		if r.Context().Err() == nil {
			t.Error("the session lives on")
		}
		echo(t, a.n, b.n)
	})
}

// TestSharedKey: two joiners hold one invite's key at once.
func TestSharedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := udptest.NewNet()
		seg := n.Segment("lan")
		seg.SetDelay(2 * time.Millisecond)
		var nodes []*node
		invite := key.New()
		for i, name := range []string{"sponsor", "j1", "j2", "j3"} {
			h := n.Host(name)
			h.Attach(seg, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24))
			nd := newNode(t, name, h)
			defer func() { nd.stop() }()
			if i > 0 {
				nd.device, nd.control = invite, invite.Exchange()
				nd.restart(nodes[0].peer(addr("10.0.0.1:30000")))
			}
			nodes = append(nodes, nd)
		}
		shared, err := invite.Public().Exchange()
		if err != nil {
			t.Fatal(err)
		}
		nodes[0].wire.SetPeers([]Peer{{ID: invite.Public(), Control: shared, Shared: true}})
		var live []Session
		for range 2 { // again, so that each is still known
			for _, j := range nodes[1:] {
				s, _ := echo(t, j, nodes[0])
				live = append(live, s)
			}
		}
		time.Sleep(20 * time.Second)
		for i, s := range live {
			if s.Context().Err() != nil {
				t.Errorf("session %d has ended: %v", i, context.Cause(s.Context()))
			}
		}
		if got := nodes[0].told(); slices.Contains(got, "restarted") {
			t.Errorf("the sponsor was told %q", got)
		}
		nodes[0].wire.SetPeers(nil)
		time.Sleep(2 * quicConfig.MaxIdleTimeout)
		for i, s := range live {
			if s.Context().Err() == nil {
				t.Errorf("session %d lives on after the invite", i)
			}
		}
	})
}

// TestSharedKeyMany: whoever has joined makes room for the next, and one who is
// about to is not driven out.
func TestSharedKeyMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, "s", udptest.NewNet().Host("s"))
		defer n.stop()
		invite := key.New()
		n.wire.SetPeers([]Peer{{ID: invite.Public(), Control: key.NewExchange().Public(), Shared: true}})
		n.wire.mu.Lock()
		defer n.wire.mu.Unlock()
		p := n.wire.dir.Load().byID[invite.Public()]
		come := func(b boot) *peer {
			q := p.addInstance(b, time.Now())
			if q != nil {
				q.c.lastHeard = time.Now()
			}
			return q
		}
		for i := range maxInstances {
			if come(boot(i+1)) == nil {
				t.Fatalf("no room for number %d", i+1)
			}
		}
		if come(1000) != nil {
			t.Error("one who has just come was driven out")
		}
		n.wire.mu.Unlock()
		time.Sleep(instanceGrace)
		n.wire.mu.Lock()
		p.instance(1).c.lastHeard = time.Now()
		p.instance(2).c.sessions = map[*session]struct{}{nil: {}}
		for i := range maxInstances - 2 {
			if come(boot(2000+i)) == nil {
				t.Fatalf("no room for number %d of the second wave", i+1)
			}
		}
		if come(3000) != nil || p.instance(1) == nil || p.instance(2) == nil {
			t.Error("one who is heard was driven out")
		}
		clear(p.instance(2).c.sessions)
	})
}
