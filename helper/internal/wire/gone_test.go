package wire

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

// TestSilent: a peer that has gone while packets went to it is known to be silent
// within two seconds and a half, long before its path is given up, and is not
// when it answers again. Loss and short gaps are no silence.
func TestSilent(t *testing.T) {
	for _, c := range []struct {
		name string
		loss float64
		gap  time.Duration
		want bool
	}{
		{"gone", 0, 3 * time.Second, true},
		{"a gap", 0, time.Second, false},
		{"loss", 0.3, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				seg, a, b := guards(t)
				defer a.end()
				defer b.end()
				var cut, lossy atomic.Bool
				rnd := rand.New(rand.NewPCG(1, 2)) // the filter is called in turn
				seg.SetFilter(func(udptest.Datagram) bool {
					return !cut.Load() && !(lossy.Load() && rnd.Float64() < c.loss)
				})
				b.configure(a)
				a.configure(b)
				a.n.wire.Want(b.n.id(), true)
				b.n.wire.Want(a.n.id(), true)
				talk(a, b, 3*time.Second)
				ended := make(chan struct{})
				go func() {
					talk(a, b, 20*time.Second)
					close(ended)
				}()
				lossy.Store(c.loss > 0)
				cut.Store(c.gap > 0)
				start, seen := time.Now(), time.Duration(-1)
				for time.Since(start) < 15*time.Second {
					time.Sleep(20 * time.Millisecond)
					if c.gap > 0 && time.Since(start) >= c.gap {
						cut.Store(false)
					}
					st := a.n.status(b.n)
					switch {
					case !st.Path.Silent:
					case st.Path.Kind == None:
						t.Fatal("silent, and without a path")
					case seen < 0:
						seen = time.Since(start)
					}
				}
				if (seen >= 0) != c.want || seen > 2500*time.Millisecond {
					t.Errorf("silent after %v", seen)
				}
				if a.n.status(b.n).Path.Silent {
					t.Error("it answers again, and is silent")
				}
				<-ended
			})
		})
	}
}

// TestProbe: an idle peer's answer is had by asking for it.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := guards(t)
		defer a.end()
		defer b.end()
		b.configure(a)
		a.configure(b)
		if d := a.ping(b, time.Second); d < 0 {
			t.Fatal("no answer")
		}
		time.Sleep(5 * time.Minute)
		before := a.n.status(b.n).Answered
		a.n.wire.Probe(b.n.id())
		time.Sleep(100 * time.Millisecond)
		if st := a.n.status(b.n); time.Since(st.Answered) > 100*time.Millisecond {
			t.Errorf("it answered %v ago, and before that %v", time.Since(st.Answered), time.Since(before))
		}
	})
}
