package simnet

import (
	"testing"
	"time"

	"kith.internal/ipc"
)

// during pings from a to b while something happens, and wants a gap of less
// than limit from then on.
func during(t *testing.T, a, b *Host, limit time.Duration, happens func()) {
	t.Helper()
	p := a.Pings(b.name)
	defer p.Stop()
	time.Sleep(3 * time.Second)
	p.Mark()
	happens()
	time.Sleep(20 * time.Second)
	g := p.Gap()
	t.Logf("gap %v, paths %v", g, p.Paths())
	if g >= limit {
		t.Errorf("silent for %v, want less than %v", g, limit)
	}
}

// homes is two members at two homes, with a direct path.
func homes(t *testing.T, n *Net) (s, a, b *Host, home *Site) {
	t.Helper()
	home = n.Home("home a")
	s, a, b = n.Server("s"), n.Host("a", home.LAN), n.Host("b", n.Home("home b").LAN)
	relayed(t, s, a, b)
	direct(t, a, b)
	return s, a, b, home
}

func TestPath14Rebind(t *testing.T) {
	for name, quiet := range map[string]time.Duration{"fresh": 0, "long ago": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			row(t, func(t *testing.T, n *Net) {
				_, a, b, home := homes(t, n)
				time.Sleep(quiet)
				during(t, a, b, time.Second, home.Rebind)
				onPath(t, a, b, time.Second, ipc.PathDirect)
				during(t, b, a, time.Second, home.Rebind)
				onPath(t, b, a, time.Second, ipc.PathDirect)
			})
		})
	}
}

func TestPath15Move(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		_, a, b, home := homes(t, n)
		other := n.Home("elsewhere")
		during(t, a, b, time.Second, func() { a.Move(other.LAN) })
		onPath(t, a, b, time.Second, ipc.PathDirect)
		during(t, b, a, time.Second, func() { a.Move(home.LAN) })
		onPath(t, b, a, time.Second, ipc.PathDirect)
	})
}

// TestPath17Cache: both helpers find each other again by what they remember,
// their routers' mappings being as before.
func TestPath17Cache(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		s, a, b, _ := homes(t, n)
		during(t, a, b, 300*time.Millisecond, func() { s.Kill() })
		onPath(t, a, b, time.Second, ipc.PathDirect)
		a.Kill()
		b.Kill()
		time.Sleep(10 * time.Second)
		a.Start()
		b.Start()
		took, path := a.Reach("b", 10*time.Second)
		t.Logf("back after %v on a path that is %s", took, path)
		if path != ipc.PathDirect {
			t.Errorf("back on a path that is %s", path)
		}
	})
}

// uplinks takes from a, which has two, the one in use, and gives it back, while
// a or b pings the other.
func uplinks(t *testing.T, limit time.Duration, set func(a *Host, first *Site, works bool)) {
	t.Helper()
	for _, byB := range []bool{false, true} {
		row(t, func(t *testing.T, n *Net) {
			first, second := n.Home("first"), n.Home("second")
			s, a, b := n.Server("s"), n.Host("a", first.LAN, second.LAN), n.Host("b", n.Home("home b").LAN)
			relayed(t, s, a, b)
			direct(t, a, b)
			from, to := a, b
			if byB {
				from, to = b, a
			}
			during(t, from, to, limit, func() { set(a, first, false) })
			onPath(t, from, to, time.Second, ipc.PathDirect)
			during(t, from, to, limit, func() { set(a, first, true) })
			onPath(t, from, to, time.Second, ipc.PathDirect)
		})
	}
}

func TestPath20LinkLost(t *testing.T) {
	uplinks(t, time.Second, func(a *Host, first *Site, works bool) { a.SetUp(first.LAN, works) })
}

func TestPath20Silent(t *testing.T) {
	uplinks(t, 3*time.Second, func(_ *Host, first *Site, works bool) { first.Router.SetSilent(!works) })
}

func TestPath21Loss(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		_, a, b, home := homes(t, n)
		for _, loss := range []float64{0.05, 0.2} {
			home.Access.SetLoss(loss)
			p := a.Pings(b.name)
			time.Sleep(2 * time.Minute)
			p.Stop()
			t.Logf("loss %v each way: %.3f answered, longest gap %v, paths %v", loss, p.Answered(), p.Gap(), p.Paths())
			if got, want := p.Answered(), (1-loss)*(1-loss)-0.07; got < want {
				t.Errorf("loss %v each way: %.3f answered, want %.3f at least", loss, got, want)
			}
			if paths := p.Paths(); len(paths) > 1 || p.Gap() > 3*time.Second {
				t.Errorf("loss %v each way: longest gap %v, paths %v", loss, p.Gap(), paths)
			}
		}
	})
}

// TestPath21Several: of a peer with three addresses one is used, and stays so
// while packets are lost by chance.
func TestPath21Several(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		home := n.Home("home a")
		s, a := n.Server("s"), n.Host("a", home.LAN)
		b := n.Host("b", n.Home("one").LAN, n.Home("two").LAN, n.Home("three").LAN)
		relayed(t, s, a, b)
		direct(t, a, b)
		for _, loss := range []float64{0.05, 0.2} {
			home.Access.SetLoss(loss)
			p := a.Pings("b")
			// What was chosen before is not what counts.
			time.Sleep(10 * time.Second)
			at := map[*Host]string{}
			changes := map[*Host]int{}
			for began := time.Now(); time.Since(began) < 3*time.Minute; time.Sleep(100 * time.Millisecond) {
				for h, other := range map[*Host]string{a: "b", b: "a"} {
					q, _ := h.Peer(other)
					now := string(q.Path)
					if q.Endpoint != nil {
						now += " " + q.Endpoint.String()
					}
					if at[h] != "" && now != at[h] {
						changes[h]++
					}
					at[h] = now
				}
			}
			p.Stop()
			t.Logf("loss %v each way: %d and %d changes, %.3f answered, longest gap %v, at %s and %s", loss, changes[a], changes[b], p.Answered(), p.Gap(), at[a], at[b])
			if changes[a] > 1 || changes[b] > 1 {
				t.Errorf("loss %v each way: the path changes %d and %d times", loss, changes[a], changes[b])
			}
			if got, want := p.Answered(), (1-loss)*(1-loss)-0.07; got < want {
				t.Errorf("loss %v each way: %.3f answered, want %.3f at least", loss, got, want)
			}
		}
	})
}

func TestPathSleep(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		_, a, b, _ := homes(t, n)
		for range 2 {
			a.Sleep(10 * time.Minute)
			took, path := b.Reach("a", 10*time.Second)
			t.Logf("reached %v after waking on a path that is %s", took, path)
			if took > 2*time.Second {
				t.Errorf("reached only %v after waking", took)
			}
			onPath(t, b, a, 2*time.Second, ipc.PathDirect)
			time.Sleep(time.Hour)
		}
	})
}

// TestPathBothAtOnce: two whose sessions have ended begin new ones in one
// instant, again and again.
func TestPathBothAtOnce(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		_, a, b, _ := homes(t, n)
		for range 20 {
			time.Sleep(11 * time.Minute)
			pa, pb := a.Pings("b"), b.Pings("a")
			time.Sleep(3 * time.Second)
			for _, p := range []*Pings{pa, pb} {
				p.Stop()
				if g := p.Gap(); g > time.Second {
					t.Errorf("silent for %v", g)
				}
			}
		}
	})
}
