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

func TestPath19LinkLocal(t *testing.T) {
	row(t, func(t *testing.T, n *Net) {
		l := n.LinkLocal("cable")
		a, b := n.Host("a", l), n.Host("b", l)
		found(t, a, b)
		onPath(t, a, b, time.Second, ipc.PathLAN)
	})
}
