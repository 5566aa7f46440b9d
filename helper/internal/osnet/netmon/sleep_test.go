package netmon

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDetectSleep(t *testing.T) {
	for _, c := range []struct {
		name string
		jump time.Duration // of the wall clock against the monotonic one
		woke int32
	}{
		{"awake", 0, 0},
		{"slewed", 500 * time.Millisecond, 0},
		{"slept an hour", time.Hour, 1},
		{"slept ten seconds", 10 * time.Second, 1},
		{"clock set back", -time.Hour, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var woke atomic.Int32
				var jump atomic.Int64
				wall := func() time.Time { return wallClock().Add(time.Duration(jump.Load())) }
				done := make(chan struct{})
				go detectSleep(done, wall, func() { woke.Add(1) })
				time.Sleep(10*time.Second + beat/2)
				jump.Store(int64(c.jump))
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
