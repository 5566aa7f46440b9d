package netmon_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/osnet/netmon/netmontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func taken(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func up(index int, name string) netmon.Interface {
	return netmon.Interface{Index: index, Name: name, MTU: 1500, Up: true}
}

func TestFirstChangeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := netmontest.New(up(1, "lo"))
		w := netmon.Watch(h)
		defer w.Close()
		if s, err := w.State(); err != nil || len(s.Interfaces) != 1 {
			t.Fatalf("at the start: %+v, %v", s, err)
		}
		start := time.Now()
		h.Set(netmon.State{Interfaces: []netmon.Interface{up(1, "lo"), up(2, "eth0")}})
		<-w.Changes()
		if d := time.Since(start); d != 0 {
			t.Errorf("the first change was told after %v", d)
		}
		if s, _ := w.State(); len(s.Interfaces) != 2 {
			t.Errorf("told before it could be read: %+v", s)
		}
	})
}

func TestBurstIsGathered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := netmontest.New()
		w := netmon.Watch(h)
		defer w.Close()
		var told []time.Duration
		start := time.Now()
		go func() {
			for i := range 100 {
				h.Set(netmon.State{Interfaces: []netmon.Interface{{Index: 1, MTU: 1000 + i}}})
				time.Sleep(time.Millisecond)
			}
		}()
		for len(told) < 3 {
			<-w.Changes()
			told = append(told, time.Since(start))
		}
		time.Sleep(time.Second)
		if taken(w.Changes()) {
			t.Error("the burst went on for too long")
		}
		if told[0] != 0 || told[1] > 60*time.Millisecond || told[2] > 160*time.Millisecond {
			t.Errorf("told after %v", told)
		}
		if h.Reads() > 6 {
			t.Errorf("100 messages cost %d reads", h.Reads())
		}
		if s, _ := w.State(); s.Interfaces[0].MTU != 1099 {
			t.Errorf("the last change was missed: %+v", s)
		}
	})
}

func TestChatterIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := netmontest.New(up(1, "lo"))
		w := netmon.Watch(h)
		defer w.Close()
		h.Chatter()
		time.Sleep(time.Second)
		if taken(w.Changes()) {
			t.Error("a message that changes nothing was told")
		}
		h.Flap()
		synctest.Wait()
		if !taken(w.Changes()) {
			t.Error("a carrier that flapped was not told")
		}
		h.Set(netmon.State{Interfaces: []netmon.Interface{up(1, "lo")}}, netmon.Route{Index: 1})
		time.Sleep(time.Second)
		if r, err := w.Routes(); !taken(w.Changes()) || len(r) != 1 || err != nil {
			t.Errorf("a new route was not told: %v, %v", r, err)
		}
	})
}

func TestReadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := netmontest.New(up(1, "lo"))
		w := netmon.Watch(h)
		defer w.Close()
		broken := errors.New("broken")
		h.Break(broken)
		synctest.Wait()
		if s, err := w.State(); !errors.Is(err, broken) || len(s.Interfaces) != 1 || !taken(w.Changes()) {
			t.Errorf("got %+v, %v", s, err)
		}
		h.Set(netmon.State{Interfaces: []netmon.Interface{up(1, "lo")}})
		time.Sleep(time.Second)
		if _, err := w.State(); err != nil || !taken(w.Changes()) {
			t.Errorf("it did not mend: %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := netmontest.New()
		w := netmon.Watch(h)
		h.Flap()
		for range 2 {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		}
		if _, err := h.Wait(); err == nil {
			if _, err := h.Wait(); err == nil {
				t.Error("the system was not closed")
			}
		}
	})
}

func TestWatcherDoesNotWakeWhenNothingIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := netmontest.New()
		w := netmon.Watch(h)
		defer w.Close()
		time.Sleep(24 * time.Hour)
		if taken(w.Woke()) || taken(w.Changes()) || h.Reads() != 1 {
			t.Errorf("a quiet day: %d reads", h.Reads())
		}
	})
}
