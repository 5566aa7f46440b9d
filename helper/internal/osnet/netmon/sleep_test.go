package netmon

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDetectSleep(t *testing.T) {
	for _, c := range []struct {
		name       string
		wall, mono time.Duration // by which the clocks jump
		nudged     int32         // how often woke by a nudge at once
		woke       int32         // after a beat
	}{
		{"awake", 0, 0, 0, 0},
		{"slewed", 500 * time.Millisecond, 0, 0, 0},
		{"slept an hour", time.Hour, 0, 1, 1},
		{"slept ten seconds", 10 * time.Second, 0, 1, 1},
		{"slept an hour by Windows' clocks", time.Hour, time.Hour, 1, 1},
		{"clock set back", -time.Hour, 0, 0, 0},
	} {
		for _, nudge := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var woke atomic.Int32
					var wall, mono atomic.Int64
					now := func() (time.Time, time.Duration) {
						w, m := hostClocks()
						return w.Add(time.Duration(wall.Load())), m + time.Duration(mono.Load())
					}
					done, nudges := make(chan struct{}), make(chan struct{})
					go detectSleep(done, nudges, now, func() { woke.Add(1) })
					time.Sleep(10*beat + beat/2)
					wall.Store(int64(c.wall))
					mono.Store(int64(c.mono))
					if nudge {
						nudges <- struct{}{}
						synctest.Wait()
						if got := woke.Load(); got != c.nudged {
							t.Errorf("woke %d times at once, want %d", got, c.nudged)
						}
					}
					time.Sleep(beat)
					synctest.Wait()
					if got := woke.Load(); got != c.woke {
						t.Errorf("woke %d times within a beat, want %d", got, c.woke)
					}
					time.Sleep(time.Hour)
					if got := woke.Load(); got != c.woke {
						t.Errorf("woke %d times, want %d", got, c.woke)
					}
					close(done)
				})
			})
		}
	}
}

func TestClockJumpsStops(t *testing.T) {
	stop := clockJumps(func() { t.Error("a jump was told where there was none") })
	stop()
}
