package simnet

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.internal/helper/internal/relay"
	"kith.internal/helper/internal/wire/udp"
	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// Members, relays and servers that do what they should not: the others go on,
// and say who it was until it is over.

// twoRelays is two relays, s the nearer one, and members that join the other.
func twoRelays(t *testing.T, n *Net, members func() (a, b *Host)) (s, s2, a, b *Host) {
	t.Helper()
	s = n.Server("s")
	far, _ := n.access("s2")
	far.SetDelay(4 * accessDelay)
	s2 = n.Host("s2", far)
	s2.Start()
	phrase := s2.Create("home")
	relayOn(t, s2)
	join(t, s2, s)
	recoverOwner(t, s, phrase)
	relayOn(t, s)
	a, b = members()
	join(t, s2, a, b)
	return s, s2, a, b
}

// check is what kith diag says of one thing.
func (h *Host) check(code ipc.CheckCode) ipc.Check {
	h.tb.Helper()
	d, err := h.Engine.Diag(h.tb.Context(), server.Caller{}, ipc.NetworkRequest{})
	if err != nil {
		h.tb.Fatalf("%s: diag: %v", h.name, err)
	}
	for _, c := range d.Checks {
		if c.Code == code {
			return c
		}
	}
	h.tb.Fatalf("%s: diag has no %s", h.name, code)
	return ipc.Check{}
}

// blames wants h to name a culprit by health and by diag.
func (h *Host) blames(code, who string) {
	h.tb.Helper()
	took := h.Until(3*time.Minute, code+" names "+who, func() bool { return strings.Contains(h.health(code), who) })
	c := h.check(ipc.CheckHonest)
	h.tb.Logf("%s: after %v %q, %q", h.name, took, h.health(code), c.Detail)
	if c.OK || !strings.Contains(c.Detail, who) {
		h.tb.Errorf("%s: diag says %+v", h.name, c)
	}
}

// forgives wants the warning to go by itself.
func (h *Host) forgives(code string, within time.Duration) {
	h.tb.Helper()
	began := time.Now()
	for h.health(code) != "" {
		if time.Since(began) > within {
			h.tb.Fatalf("%s: %s stays for %v", h.name, code, within)
		}
		time.Sleep(time.Second)
	}
	h.tb.Logf("%s: %s is gone after %v", h.name, code, time.Since(began))
	if c := h.check(ipc.CheckHonest); !c.OK {
		h.tb.Errorf("%s: diag says %+v", h.name, c)
	}
}

// otherAddr is another address on the same link, and the way back.
func otherAddr(a netip.AddrPort) netip.AddrPort {
	if a.Addr().IsLinkLocalUnicast() {
		return a
	}
	b := a.Addr().AsSlice()
	b[len(b)-1] ^= 0x80
	addr, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(addr, a.Port())
}

// TestBadAddress: a relay tells all others addresses that they do not have.
func TestBadAddress(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, s2, a, b := twoRelays(t, n, func() (a, b *Host) {
			return n.Host("a", n.Home("home a").LAN), n.Host("b", n.Home("home b").LAN)
		})
		var mu sync.Mutex
		shown := map[netip.AddrPort]netip.AddrPort{}
		in := func(_ []byte, from netip.AddrPort) (netip.AddrPort, bool) {
			mu.Lock()
			defer mu.Unlock()
			o := otherAddr(from)
			shown[o] = from
			return o, true
		}
		out := func(_ []byte, to netip.AddrPort) (netip.AddrPort, bool) {
			mu.Lock()
			defer mu.Unlock()
			if real, ok := shown[to]; ok {
				to = real
			}
			return to, true
		}
		s.bad.in.Store(&in)
		s.bad.out.Store(&out)
		direct(t, a, b)
		a.Reach("s2", time.Second)
		a.blames(ipc.HealthRelayLies, "s")
		onPath(t, a, b, time.Second, ipc.PathDirect)
		s.bad.in.Store(nil)
		a.forgives(ipc.HealthRelayLies, 15*time.Minute)
		_ = s2
	})
}

// TestBadStall: a relay takes what is sent, and answers nothing.
func TestBadStall(t *testing.T) {
	for _, how := range []string{"over UDP", "over TLS"} {
		t.Run(how, func(t *testing.T) {
			row(t, func(t *testing.T, n *Net) {
				s, _, a, b := twoRelays(t, n, func() (a, b *Host) {
					if how == "over TLS" {
						return filtered(n, "a", 443), filtered(n, "b", 443)
					}
					return behind("a", udptest.Symmetric)(n), behind("b", udptest.Symmetric)(n)
				})
				time.Sleep(30 * time.Second)
				onPath(t, a, b, 2*time.Second, ipc.PathRelayed)
				swallow := func(_ []byte, to netip.AddrPort) (netip.AddrPort, bool) { return to, false }
				during(t, a, b, time.Second, func() {
					s.bad.out.Store(&swallow)
					s.bad.allowance.Store(2048)
				})
				a.blames(ipc.HealthRelayLies, "s")
				s.bad.out.Store(nil)
				s.bad.allowance.Store(0)
				a.forgives(ipc.HealthRelayLies, 5*time.Minute)
			})
		})
	}
}

// TestBadKey: who answers at a relay's address has another key than it.
func TestBadKey(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		other := otherKey(t)
		s, _, a, b := twoRelays(t, n, func() (a, b *Host) {
			n.hosts[0].bad.impostor.Store(&other)
			return filtered(n, "a", 443), filtered(n, "b", 443)
		})
		onPath(t, a, b, 2*time.Second, ipc.PathRelayed)
		a.blames(ipc.HealthRelayOther, "s")
		if c := a.check(ipc.CheckRelays); !strings.Contains(c.Detail, "another key") {
			t.Errorf("relays: %+v", c)
		}
		overTLS(t, a, b)
		s.bad.impostor.Store(nil)
		a.forgives(ipc.HealthRelayOther, 5*time.Minute)
	})
}

// framed tells a frame that carries a ping's packet from one that carries a
// ping of the path: only the latter's size is rounded up.
func framed(b []byte) bool { return slices.Contains([]int{frameOver + 80, frameOver + 96}, len(b)) }

// frameOver is what a frame over one hop adds to what it carries.
const frameOver = 32 + 16 + 28 + 2 + 3*8

// TestBadFrames: a relay passes on what keeps a path up, and not what the path
// is for.
func TestBadFrames(t *testing.T) {
	type see = func(b []byte, peer netip.AddrPort) (netip.AddrPort, bool)
	tests := []struct {
		name string
		out  func() see
	}{
		{"drops", func() see {
			return func(b []byte, to netip.AddrPort) (netip.AddrPort, bool) { return to, !framed(b) }
		}},
		{"alters", func() see {
			return func(b []byte, to netip.AddrPort) (netip.AddrPort, bool) {
				if framed(b) {
					b[len(b)-20] ^= 1
				}
				return to, true
			}
		}},
		{"swaps", func() see {
			var mu sync.Mutex
			var known []netip.AddrPort
			return func(b []byte, to netip.AddrPort) (netip.AddrPort, bool) {
				mu.Lock()
				defer mu.Unlock()
				if !framed(b) {
					return to, true
				}
				if !slices.Contains(known, to) {
					known = append(known, to)
				}
				for _, other := range known {
					if other != to {
						return other, true
					}
				}
				return to, true
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			row(t, func(t *testing.T, n *Net) {
				s, _, a, b := twoRelays(t, n, func() (a, b *Host) {
					return behind("a", udptest.Symmetric)(n), behind("b", udptest.Symmetric)(n)
				})
				time.Sleep(30 * time.Second)
				onPath(t, a, b, 2*time.Second, ipc.PathRelayed)
				out := tt.out()
				during(t, a, b, 3*time.Second, func() { s.bad.out.Store(&out) })
				a.blames(ipc.HealthRelayLies, "s")
				s.bad.out.Store(nil)
				a.forgives(ipc.HealthRelayLies, 70*time.Minute)
			})
		})
	}
}

// loop sends the frames that come through a host back to where they came from,
// and counts them.
type loop struct {
	mu     sync.Mutex
	from   []netip.AddrPort
	looped int
}

func (l *loop) start(h *Host) {
	in := func(b []byte, at netip.AddrPort) (netip.AddrPort, bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if framed(b) {
			l.from = append(l.from, at)
		}
		return at, true
	}
	out := func(b []byte, to netip.AddrPort) (netip.AddrPort, bool) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if framed(b) && len(l.from) > 0 {
			to, l.from = l.from[0], l.from[1:]
			l.looped++
		}
		return to, true
	}
	h.bad.in.Store(&in)
	h.bad.out.Store(&out)
}

func (l *loop) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.looped == 0 {
		t.Error("no frame went back")
	}
}

// TestBadLoop: a relay sends frames back to where they came from, besides
// dropping them.
func TestBadLoop(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, _, a, b := twoRelays(t, n, func() (a, b *Host) {
			return behind("a", udptest.Symmetric)(n), behind("b", udptest.Symmetric)(n)
		})
		time.Sleep(30 * time.Second)
		onPath(t, a, b, 2*time.Second, ipc.PathRelayed)
		var l loop
		during(t, a, b, 3*time.Second, func() { l.start(s) })
		l.check(t)
		a.blames(ipc.HealthRelayLies, "s")
	})
}

// TestBadForwarder: of two members on both LANs one does not pass on what it
// should.
func TestBadForwarder(t *testing.T) {
	var l loop
	tests := []struct {
		name string
		bad  func(m *Host)
	}{
		{"drops all but pings", func(m *Host) {
			out := func(b []byte, to netip.AddrPort) (netip.AddrPort, bool) { return to, !framed(b) }
			m.bad.out.Store(&out)
		}},
		{"sends back", func(m *Host) { l.start(m) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			row(t, func(t *testing.T, n *Net) {
				la, lb := n.LAN("a's"), n.LAN("b's")
				m := []*Host{n.Host("m1", la, lb), n.Host("m2", la, lb)}
				a, b := n.Host("a", la), n.Host("b", lb)
				found(t, m[0], m[1], a)
				join(t, m[0], b)
				onPath(t, a, b, 5*time.Second, ipc.PathForwarded)
				var bad *Host
				during(t, a, b, 3*time.Second, func() {
					p, _ := a.Peer("b")
					bad = m[0]
					if p.Via != nil && *p.Via == "m2" {
						bad = m[1]
					}
					tt.bad(bad)
				})
				a.blames(ipc.HealthForwardDrops, bad.name)
				onPath(t, a, b, time.Second, ipc.PathForwarded)
				if p, _ := a.Peer("b"); p.Via == nil || *p.Via == bad.name {
					t.Errorf("still via %s", bad.name)
				}
				bad.bad.in.Store(nil)
				bad.bad.out.Store(nil)
				a.forgives(ipc.HealthForwardDrops, 70*time.Minute)
			})
		})
	}
	l.check(t)
}

// TestBadSTUN: a configured server tells an address that is not ours.
func TestBadSTUN(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		liar := n.Server("liar")
		port, err := liar.udp.Listen(3478)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		defer func() { port.Close(); <-done }()
		go func() {
			defer close(done)
			var stun relay.STUN
			read := port.Readers()[0] // IPv4's
			pkts := []udp.Packet{{Buf: make([]byte, 1500)}}
			for {
				if _, err := read(pkts); err != nil {
					return
				}
				if b := stun.Answer(pkts[0].Buf[:pkts[0].N], otherAddr(pkts[0].Addr), make([]byte, 600)); b != nil {
					port.WriteBatch([][]byte{b}, pkts[0].Addr, udp.Source{})
				}
			}
		}()
		at := netip.AddrPortFrom(liar.addr4(), 3478)
		s, s2, a, b := n.Server("s"), n.Server("s2"), n.Host("a", n.Home("home a").LAN), n.Host("b", n.Home("home b").LAN)
		a.bad.stun = []netip.AddrPort{at}
		relayed(t, s, s2, a, b)
		a.Reach("s2", time.Second)
		direct(t, a, b)
		a.blames(ipc.HealthSTUNLies, at.String())
		a.Stop()
		a.bad.stun = nil
		a.Start()
		a.Until(time.Minute, "it is asked no more", func() bool { return a.health(ipc.HealthSTUNLies) == "" })
		direct(t, a, b)
	})
}
