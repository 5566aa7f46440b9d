package simnet

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	admit "kith.internal/helper/internal/join"
	"kith.internal/helper/internal/key"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// openNear opens h's only network to its LAN.
func openNear(t *testing.T, h *Host) {
	t.Helper()
	if _, err := h.Engine.NearbyOpen(t.Context(), server.Caller{}, ipc.NearbyOpenRequest{}); err != nil {
		t.Fatalf("%s opens its network: %v", h.name, err)
	}
}

// askNear has h ask to join; its verdict comes on the channel.
func askNear(ctx context.Context, h *Host, req ipc.NearbyJoinRequest) <-chan error {
	out := make(chan error, 1)
	e := h.Engine
	go func() {
		_, err := e.NearbyJoin(ctx, server.Caller{}, req)
		out <- err
	}()
	return out
}

// asks waits until one device asks h, and tells who.
func asks(t *testing.T, h *Host) (a ipc.NearbyAsking) {
	t.Helper()
	h.Until(10*time.Second, "a device asks", func() bool {
		all := h.Status().Nearby.Asking
		if len(all) == 1 {
			a = all[0]
		}
		return len(all) == 1
	})
	return a
}

// shown is the digits that h shows to join the only network it hears.
func shown(t *testing.T, h *Host) (digits string) {
	t.Helper()
	h.Until(10*time.Second, "it shows digits", func() bool {
		for _, n := range h.Status().Nearby.Networks {
			if n.Digits != nil {
				digits = *n.Digits
			}
		}
		return digits != ""
	})
	return digits
}

func word(t *testing.T, h *Host, id string, refuse bool) error {
	t.Helper()
	_, err := h.Engine.NearbyApprove(t.Context(), server.Caller{}, ipc.NearbyApproveRequest{ID: id, Refuse: refuse})
	return err
}

func want(t *testing.T, what string, got <-chan error, codes ...ipc.Code) {
	t.Helper()
	if err := <-got; !slices.Contains(codes, ipc.CodeOf(err)) {
		t.Errorf("%s: %v, want %q", what, err, codes)
	}
}

// TestSimNearby: a device on the LAN sees an open network, asks, both show the
// same digits, and the admin's word lets it in.
func TestSimNearby(t *testing.T) {
	for name, lan := range map[string]func(*Net) *LAN{
		"lan":        oneLAN,
		"link-local": func(n *Net) *LAN { return n.LinkLocal("lan") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := New(t)
				l := lan(net)
				a, b := net.Host("a", l), net.Host("b", l)
				a.Start()
				b.Start()
				a.Create("home")
				openNear(t, a)
				d := b.Until(5*time.Second, "b sees it", func() bool { return len(b.Status().Nearby.Networks) == 1 })
				t.Logf("seen after %v", d)
				if n := b.Status().Nearby.Networks[0]; n.Name != "home" || n.By != "a" || n.Digits != nil || n.Code != nil {
					t.Errorf("b sees %+v", n)
				}
				if n := a.Status().Nearby; len(n.Networks) != 0 || len(n.Open) != 1 || n.Open[0].Left != 3 {
					t.Errorf("a, which holds it open, sees %+v", n)
				}
				got := askNear(t.Context(), b, ipc.NearbyJoinRequest{ID: "home"})
				who := asks(t, a)
				if digits := shown(t, b); len(digits) != 6 || digits != who.Digits || who.Name != "b" || who.OS != "linux" || who.Network != "home" {
					t.Errorf("b shows %q, and a %+v", digits, who)
				}
				time.Sleep(5 * time.Minute) // people take their time
				if err := word(t, a, who.ID, false); err != nil {
					t.Fatal(err)
				}
				want(t, "approved", got, "")
				answered(t, b, "a", time.Second)
				answered(t, a, "b", time.Second)
				if n := b.Status(); len(n.Nearby.Networks) != 0 || len(n.Joining) != 0 {
					t.Errorf("b is in it and sees %+v, %+v", n.Nearby, n.Joining)
				}
				if n := a.Status().Nearby; len(n.Asking) != 0 || len(n.Open) != 1 || n.Open[0].Left != 3 {
					t.Errorf("a after it: %+v", n)
				}
				a.Until(6*time.Minute, "it closes by itself", func() bool { return len(a.Status().Nearby.Open) == 0 })
			})
		})
	}
}

// opened is two hosts on a LAN, of which a holds "home" open, and b sees it.
func opened(t *testing.T) (net *Net, l *LAN, a, b *Host) {
	t.Helper()
	net = New(t)
	l = net.LAN("lan")
	a, b = net.Host("a", l), net.Host("b", l)
	a.Start()
	b.Start()
	a.Create("home")
	openNear(t, a)
	b.Until(5*time.Second, "b sees it", func() bool { return len(b.Status().Nearby.Networks) == 1 })
	return net, l, a, b
}

// TestSimNearbyRefused: three refusals close the network, and say so.
func TestSimNearbyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, a, b := opened(t)
		for left := 2; left >= 0; left-- {
			got := askNear(t.Context(), b, ipc.NearbyJoinRequest{})
			who := asks(t, a)
			if err := word(t, a, "", true); err != nil {
				t.Fatal(err)
			}
			want(t, "refused", got, ipc.CodeRefused)
			if n := b.Status().Nearby.Networks; left > 0 && (len(n) != 1 || n[0].Code == nil || *n[0].Code != ipc.CodeRefused || n[0].Digits != nil) {
				t.Errorf("after it b sees %+v", n)
			}
			if err := word(t, a, who.ID, false); ipc.CodeOf(err) != ipc.CodeNotFound {
				t.Errorf("approved after it was refused: %v", err)
			}
			a.Until(time.Second, "a counts it", func() bool {
				n := a.Status().Nearby.Open
				return left == 0 && len(n) == 0 || len(n) == 1 && n[0].Left == left
			})
		}
		if a.health(ipc.HealthNearbyTries) == "" {
			t.Error("a does not say why it closed")
		}
		b.Until(time.Minute, "b sees it no more", func() bool { return len(b.Status().Nearby.Networks) == 0 })
		want(t, "closed", askNear(t.Context(), b, ipc.NearbyJoinRequest{ID: "home"}), ipc.CodeNotFound)
		openNear(t, a)
		if a.health(ipc.HealthNearbyTries) != "" {
			t.Error("opened again, and it still says so")
		}
		if n := a.Status().Nearby.Open; len(n) != 1 || n[0].Left != 3 {
			t.Errorf("opened again: %+v", n)
		}
	})
}

// TestSimNearbyClosed: who asks when the network closes hears of it: by hand, by
// time, and when the admin's device stops or leaves; and an admin is told when
// the joiner gives up.
func TestSimNearbyClosed(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*testing.T, *Host)
		wait ipc.Seconds
		want ipc.Code
		or   ipc.Code // where the admin's last word may still come through
	}{
		"by hand": {func(t *testing.T, a *Host) {
			if _, err := a.Engine.NearbyOpen(t.Context(), server.Caller{}, ipc.NearbyOpenRequest{Close: true}); err != nil {
				t.Error(err)
			}
		}, 0, ipc.CodeNearbyClosed, ""},
		"by time":      {func(*testing.T, *Host) { time.Sleep(11 * time.Minute) }, 0, ipc.CodeNearbyClosed, ""},
		"at stop":      {func(_ *testing.T, a *Host) { a.Stop() }, 0, ipc.CodeNotConnected, ipc.CodeNearbyClosed},
		"by a crash":   {func(_ *testing.T, a *Host) { a.Kill(); time.Sleep(time.Minute) }, 0, ipc.CodeNotConnected, ""},
		"too late":     {func(*testing.T, *Host) { time.Sleep(time.Minute) }, 30, ipc.CodeTimeout, ""},
		"disconnected": {func(t *testing.T, a *Host) { a.Engine.Down(t.Context(), server.Caller{}, ipc.NetworkRequest{}) }, 0, ipc.CodeNotConnected, ipc.CodeNearbyClosed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, a, b := opened(t)
				got := askNear(t.Context(), b, ipc.NearbyJoinRequest{Wait: c.wait})
				asks(t, a)
				c.end(t, a)
				codes := []ipc.Code{c.want}
				if c.or != "" {
					codes = append(codes, c.or)
				}
				want(t, name, got, codes...)
				if n := b.Status(); len(n.Networks) != 0 || len(n.Joining) != 0 {
					t.Errorf("b has %+v, %+v", n.Networks, n.Joining)
				}
				if a.Engine != nil {
					a.Until(time.Minute, "nobody asks any more", func() bool { return len(a.Status().Nearby.Asking) == 0 })
				}
				// The port of a join that ended is free, and another may begin.
				b.Restart()
			})
		})
	}
}

// TestSimNearbyGivesUp: a joiner that goes away has used up a try.
func TestSimNearbyGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, a, b := opened(t)
		ctx, cancel := context.WithCancel(t.Context())
		got := askNear(ctx, b, ipc.NearbyJoinRequest{})
		asks(t, a)
		cancel()
		<-got
		a.Until(5*time.Second, "a counts it", func() bool {
			n := a.Status().Nearby
			return len(n.Asking) == 0 && len(n.Open) == 1 && n.Open[0].Left == 2
		})
		// A request that is withdrawn by leave ends too.
		got = askNear(t.Context(), b, ipc.NearbyJoinRequest{})
		asks(t, a)
		if _, err := b.Engine.Leave(t.Context(), server.Caller{}, ipc.NetworkRequest{Network: "home"}); err != nil {
			t.Error(err)
		}
		want(t, "withdrawn", got, ipc.CodeNotFound)
	})
}

// TestSimNearbyForged: a host that claims to be another's network does not get a
// device whose person compares: the digits are not on the admin's device. Without
// that question it would.
func TestSimNearbyForged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, l, a, b := opened(t)
		m := net.Host("m", l)
		m.Start()
		if _, err := m.Engine.Create(t.Context(), server.Caller{}, ipc.CreateRequest{Name: "home", Device: "a"}); err != nil {
			t.Fatal(err)
		}
		want(t, "two of one name", askNear(t.Context(), m, ipc.NearbyJoinRequest{ID: "nope"}), ipc.CodeNotFound)
		real := b.Status().Nearby.Networks[0].ID
		openNear(t, m)
		b.Until(5*time.Second, "b sees both", func() bool { return len(b.Status().Nearby.Networks) == 2 })
		want(t, "two of one name", askNear(t.Context(), b, ipc.NearbyJoinRequest{ID: "home"}), ipc.CodeAmbiguous)
		var forged string
		for _, n := range b.Status().Nearby.Networks {
			if n.ID != real {
				forged = n.ID
			}
		}
		got := askNear(t.Context(), b, ipc.NearbyJoinRequest{ID: forged, Confirm: true})
		who := asks(t, m)
		digits := shown(t, b)
		if err := word(t, m, who.ID, false); err != nil { // it lets in whomever it can
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if n := a.Status().Nearby.Asking; len(n) != 0 || len(b.Status().Networks) != 0 {
			t.Errorf("a shows %+v, b %s and is in %+v", n, digits, b.Status().Networks)
		}
		if err := word(t, b, forged, true); err != nil {
			t.Fatal(err)
		}
		want(t, "the digits are not on a", got, ipc.CodeDigitsDiffer)
		if n := b.Status(); len(n.Networks) != 0 {
			t.Errorf("b is in %+v", n.Networks)
		}
		// The real one, with both people's word, in this order and the other.
		got = askNear(t.Context(), b, ipc.NearbyJoinRequest{ID: real, Confirm: true})
		if who = asks(t, a); who.Digits != shown(t, b) {
			t.Error("the digits differ")
		}
		if err := word(t, b, real, false); err != nil {
			t.Fatal(err)
		}
		if err := word(t, a, "b", false); ipc.CodeOf(err) != ipc.CodeNotFound {
			t.Errorf("approved by a name that anyone can take: %v", err)
		}
		if err := word(t, a, who.ID, false); err != nil {
			t.Fatal(err)
		}
		want(t, "the same digits", got, "")
		answered(t, b, "a", time.Second)
	})
}

// TestSimNearbySeveral: three may ask at once, a fourth waits for its turn, and
// what the admin says of one is not of another.
func TestSimNearbySeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, l, a, b := opened(t)
		hosts := []*Host{b}
		for _, name := range []string{"c", "d", "e"} {
			h := net.Host(name, l)
			h.Start()
			hosts = append(hosts, h)
		}
		var got []<-chan error
		for i, h := range hosts {
			got = append(got, askNear(t.Context(), h, ipc.NearbyJoinRequest{ID: "home", Device: "same"}))
			a.Until(10*time.Second, "it asks", func() bool { return len(a.Status().Nearby.Asking) == min(i+1, 3) })
		}
		if err := word(t, a, "same", true); ipc.CodeOf(err) != ipc.CodeAmbiguous {
			t.Errorf("refuse one of three of a name: %v", err)
		}
		mine := shown(t, b)
		for _, who := range a.Status().Nearby.Asking {
			if who.Digits == mine {
				if err := word(t, a, who.ID, false); err != nil {
					t.Error(err)
				}
			}
		}
		want(t, "b", got[0], "")
		answered(t, b, "a", time.Second)
		// Now the fourth has its turn; its name is taken by now, and a person chose it.
		want(t, "e", got[3], ipc.CodeNameTaken)
		for range 2 {
			if err := word(t, a, a.Status().Nearby.Asking[0].ID, true); err != nil {
				t.Fatal(err)
			}
		}
		want(t, "c", got[1], ipc.CodeRefused)
		want(t, "d", got[2], ipc.CodeRefused)
		a.Until(time.Second, "three failures closed it", func() bool { return len(a.Status().Nearby.Open) == 0 })
		if n := len(a.Network("").Peers); n != 1 {
			t.Errorf("%d peers, want 1", n)
		}
	})
}

// TestSimNearbyMay: who may open, and what who is in the network already sees.
func TestSimNearbyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, oneLAN)
		_, err := b.Engine.NearbyOpen(t.Context(), server.Caller{}, ipc.NearbyOpenRequest{})
		if ipc.CodeOf(err) != ipc.CodeNotAdmin {
			t.Errorf("a plain device opens the network: %v", err)
		}
		openNear(t, a)
		openNear(t, a)
		time.Sleep(10 * time.Second)
		if n := b.Status().Nearby; len(n.Networks) != 0 {
			t.Errorf("a member sees %+v", n)
		}
		if n := a.Status().Nearby.Open; len(n) != 1 {
			t.Errorf("opened twice: %+v", n)
		}
		a.Restart()
		if n := a.Status().Nearby.Open; len(n) != 0 {
			t.Errorf("open after a restart: %+v", n)
		}
	})
}

// TestSimNearbyFarewell: who sees an opening hears at once that it is closed, by
// hand, by down and by a stop in order; from nobody but who had said it.
func TestSimNearbyFarewell(t *testing.T) {
	for name, end := range map[string]func(a *Host){
		"closed": func(a *Host) {
			a.Engine.NearbyOpen(a.tb.Context(), server.Caller{}, ipc.NearbyOpenRequest{Close: true})
		},
		"down": func(a *Host) { a.Engine.Down(a.tb.Context(), server.Caller{}, ipc.NetworkRequest{}) },
		"stop": func(a *Host) { a.Stop() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, l, a, b := opened(t)
				m := a.net.Host("m", l)
				air := m.udp.Multicast()
				defer air.Close()
				ifaces := m.udp.Interfaces()
				if err := air.Join(ifaces); err != nil {
					t.Fatal(err)
				}
				buf := make([]byte, 2048)
				n, _, _, err := air.Read(buf)
				for err == nil && (n < 100 || buf[0] != 2) {
					n, _, _, err = air.Read(buf)
				}
				said, err := admit.ParseNotice(buf[1:n])
				if err != nil {
					t.Fatal(err)
				}
				said.Left = 0
				body, err := said.Encode()
				if err != nil {
					t.Fatal(err)
				}
				if err := air.Send(append([]byte{2}, body...), ifaces[len(ifaces)-1].Index); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Second)
				if len(b.Status().Nearby.Networks) != 1 {
					t.Error("a stranger's farewell counts")
				}
				end(a)
				b.Until(time.Second, "b hears that it is closed", func() bool { return len(b.Status().Nearby.Networks) == 0 })
				time.Sleep(5 * time.Second)
				if got := b.Status().Nearby.Networks; len(got) != 0 {
					t.Errorf("it is back: %+v", got)
				}
			})
		})
	}
}

// TestSimNearbyFlood: a host that says thousands of openings fills a few places
// of the list, and leaves the others; what it says with bad names none.
func TestSimNearbyFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, l, a, b := opened(t)
		m := a.net.Host("m", l)
		air := m.udp.Multicast()
		defer air.Close()
		ifaces := m.udp.Interfaces()
		if err := air.Join(ifaces); err != nil {
			t.Fatal(err)
		}
		ifindex := ifaces[len(ifaces)-1].Index // the first is the loopback
		for i := range 3000 {
			n := admit.Notice{Key: key.Private{byte(i), byte(i >> 8)}, Name: "home", By: "a", Port: 20000, Left: time.Minute}
			if i%3 == 0 {
				n.Name = "x\x1b[2J"
			}
			body, err := n.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if err := air.Send(append([]byte{2}, body...), ifindex); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		networks := b.Status().Nearby.Networks
		if len(networks) < 2 || len(networks) > 1+2*4 { // by two source addresses
			t.Errorf("b sees %d", len(networks))
		}
		for _, n := range networks {
			if n.Name != "home" {
				t.Errorf("b sees %q", n.Name)
			}
		}
		b.Until(time.Minute, "it is over, and the real one is still there", func() bool { return len(b.Status().Nearby.Networks) == 1 })
		got := askNear(t.Context(), b, ipc.NearbyJoinRequest{})
		if err := word(t, a, asks(t, a).ID, false); err != nil {
			t.Fatal(err)
		}
		want(t, "the real one", got, "")
	})
}
