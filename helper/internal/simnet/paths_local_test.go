package simnet

import (
	"testing"
	"time"

	"kith.internal/ipc"
)

// TestPath16NoInternet: on one LAN nobody notices that the internet and the
// relay are gone, nor that the helpers restart then.
func TestPath16NoInternet(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		home := n.Home("home")
		s, a, b := n.Server("s"), n.Host("a", home.LAN), n.Host("b", home.LAN)
		relayed(t, s, a, b)
		onPath(t, a, b, time.Second, ipc.PathLAN)
		during(t, a, b, 200*time.Millisecond, func() {
			home.Access.SetDown(true)
			s.Kill()
		})
		for range 2 {
			a.Kill()
			b.Kill()
			time.Sleep(time.Minute)
			a.Start()
			b.Start()
			took, path := a.Reach("b", 2*time.Second)
			t.Logf("back %v after the restart on a path that is %s", took, path)
			if path != ipc.PathLAN {
				t.Errorf("back on a path that is %s", path)
			}
			time.Sleep(time.Hour)
		}
	})
}

// TestPath18Between: a and b share no link, m is on both their LANs.
func TestPath18Between(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "started there": true} {
		t.Run(name, func(t *testing.T) {
			row(t, func(t *testing.T, n *Net) {
				la, lb := n.Home("home a"), n.Home("home b")
				s, a, b, m := n.Server("s"), n.Host("a", la.LAN), n.Host("b", lb.LAN), n.Host("m", la.LAN, lb.LAN)
				relayed(t, s, a, b, m)
				direct(t, a, b)
				gone := func() {
					la.Access.SetDown(true)
					lb.Access.SetDown(true)
					s.Kill()
				}
				if !restart {
					during(t, a, b, 5*time.Second, gone)
				} else {
					gone()
					for _, h := range []*Host{a, b, m} {
						h.Kill()
					}
					time.Sleep(10 * time.Minute)
					for _, h := range []*Host{a, b, m} {
						h.Start()
					}
					took, _ := a.Reach("b", 10*time.Second)
					t.Logf("reached %v after the start", took)
				}
				onPath(t, a, b, time.Second, ipc.PathForwarded)
				m.Kill()
				time.Sleep(time.Minute)
				m.Start()
				took, path := b.Reach("a", 10*time.Second)
				t.Logf("reached %v after m was back, on a path that is %s", took, path)
			})
		})
	}
}

func TestPath19LinkLocal(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		l := n.LinkLocal("cable")
		a, b := n.Host("a", l), n.Host("b", l)
		found(t, a, b)
		onPath(t, a, b, time.Second, ipc.PathLAN)
	})
}

// TestPath22Chain: two hops between a and b.
func TestPath22Chain(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		meet := n.LAN("meeting")
		l1, l2, l3 := n.LAN("l1"), n.LAN("l2"), n.LAN("l3")
		a, m1, m2, b := n.Host("a", meet), n.Host("m1", meet), n.Host("m2", meet), n.Host("b", meet)
		found(t, m1, a, m2, b)
		onPath(t, a, b, time.Second, ipc.PathLAN)
		a.Move(l1)
		m1.Move(l1)
		m1.Attach(l2)
		m2.Move(l2)
		m2.Attach(l3)
		b.Move(l3)
		took, path := a.Reach("b", 10*time.Second)
		t.Logf("reached after %v on a path that is %s", took, path)
		onPath(t, a, b, time.Second, ipc.PathForwarded)
		for _, h := range []*Host{a, m1, m2, b} {
			h.Restart()
		}
		took, path = b.Reach("a", 10*time.Second)
		t.Logf("reached %v after all restarted on a path that is %s", took, path)
		if path != ipc.PathForwarded {
			t.Errorf("a path that is %s", path)
		}
	})
}
