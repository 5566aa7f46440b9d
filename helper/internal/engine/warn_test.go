package engine

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kith.internal/helper/internal/health"
	"kith.internal/helper/internal/key"
	"kith.internal/ipc"
)

func TestClockOff(t *testing.T) {
	for _, tc := range []struct {
		name    string
		offsets []time.Duration // of the neighbours, ahead of us
		want    []string        // words of the warning; none for no warning
	}{
		{"nobody differs", []time.Duration{time.Second, -2 * time.Minute, 4 * time.Minute}, nil},
		{"an hour behind", []time.Duration{time.Hour, time.Hour + time.Second, 59 * time.Minute}, []string{"1h0m0s", "behind"}},
		{"an hour ahead", []time.Duration{-time.Hour}, []string{"1h0m0s", "ahead"}},
		{"one of two neighbours is off", []time.Duration{0, time.Hour}, nil},
		{"one of two neighbours is off the other way", []time.Duration{-time.Hour, time.Second}, nil},
		{"most are off by a day", []time.Duration{0, 24 * time.Hour, 24 * time.Hour}, []string{"24h0m0s", "behind"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &Engine{health: health.New(nil), offsets: map[key.Public]time.Duration{}}
				defer e.health.Close()
				for _, d := range tc.offsets {
					e.heardClock(key.New().Public(), d)
				}
				<-time.After(time.Minute) // warnings that may pass are not shown at once
				synctest.Wait()
				list := e.health.List()
				if len(list) != min(1, len(tc.want)) {
					t.Fatalf("warnings: %+v", list)
				}
				for _, w := range tc.want {
					if list[0].Code != ipc.HealthClock || !strings.Contains(list[0].Text, w) {
						t.Errorf("the warning does not say %q: %+v", w, list[0])
					}
				}
			})
		})
	}
}

// The warning goes away when the clocks agree again.
func TestClockSetRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{health: health.New(nil), offsets: map[key.Public]time.Duration{}}
		defer e.health.Close()
		peer := key.New().Public()
		e.heardClock(peer, time.Hour)
		<-time.After(time.Minute)
		if len(e.health.List()) != 1 {
			t.Fatal("no warning")
		}
		e.heardClock(peer, time.Second)
		if list := e.health.List(); len(list) != 0 {
			t.Errorf("still there: %+v", list)
		}
	})
}
