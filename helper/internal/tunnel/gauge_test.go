package tunnel

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pool is wireguard-go's part: it keeps filled buffers and puts others in their
// place.
func pool(n int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, 100)
	}
	return bufs
}

func keep(bufs [][]byte, n int) {
	for i := range n {
		bufs[i] = make([]byte, 100)
	}
}

func all(int) bool { return true }

// TestGauge: no more is taken in while so much is under way, and what is lost in
// between holds up nobody for long.
func TestGauge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge()
		in := &intake{g: g, rest: &rest{stopped: true}}
		bufs := pool(128)
		take := func() (waited time.Duration) {
			start := time.Now()
			in.begin(bufs)
			waited = time.Since(start)
			in.end(bufs, all)
			keep(bufs, 128)
			return waited
		}
		for range underWay / 128 { // the last one taken is not noted yet
			if w := take(); w != 0 {
				t.Errorf("waited %v with room", w)
			}
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 4 {
				time.Sleep(time.Millisecond)
				g.done(32)
			}
		})
		if w := take(); w != time.Millisecond {
			t.Errorf("waited %v for the first to come out", w)
		}
		wg.Wait()
		// 128 are under way, and nothing comes out any more.
		if w := take(); w != stuckAfter {
			t.Errorf("waited %v for what is lost", w)
		}
		if w := take(); w != 0 {
			t.Errorf("waited %v after that", w)
		}
		g.done(1000) // what was forgotten comes out after all
		if n := g.in.Load() - g.out.Load(); n != 0 {
			t.Errorf("%d under way", n)
		}
	})
}

// TestGaugeCountsWhatIsKept: buffers that wireguard-go does not keep do not count,
// nor do those that nothing comes of.
func TestGaugeCountsWhatIsKept(t *testing.T) {
	g := newGauge()
	in := &intake{g: g, rest: &rest{stopped: true}}
	bufs := pool(8)
	in.begin(bufs)
	in.end(bufs, func(i int) bool { return i != 1 }) // a handshake
	keep(bufs, 3)
	in.begin(bufs)
	if n := g.in.Load(); n != 2 {
		t.Errorf("%d under way, want 2", n)
	}
}

// TestRest: after load, and not before it is over, every reader gives the memory
// of its buffers back.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGauge()
		var moved atomic.Int64
		r := &rest{moved: moved.Load}
		var readers []*intake
		bufs := pool(4)
		for range 3 {
			readers = append(readers, &intake{g: g, rest: r})
		}
		r.receivers(readers)
		var nudges atomic.Int32
		r.nudge = nudger(func() func() {
			nudges.Add(1)
			for _, in := range readers {
				in.begin(bufs)
			}
			return func() {}
		})
		r.arm()
		for range 3 {
			moved.Add(restBelow + 1)
			time.Sleep(restAfter)
			synctest.Wait()
			if nudges.Load() != 0 {
				t.Fatal("called back under load")
			}
		}
		time.Sleep(restAfter)
		synctest.Wait()
		if nudges.Load() != 1 || readers[0].ask.Load() || readers[2].ask.Load() {
			t.Errorf("nudged %d times; asked still: %v", nudges.Load(), readers[0].ask.Load())
		}
		r.arm()
		r.stop()
		time.Sleep(time.Hour)
		if nudges.Load() != 1 {
			t.Error("nudged after the end")
		}
	})
}

type nudger func() func()

func (n nudger) Nudge() func() { return n() }

// TestForget: the pages of a buffer go, what is around it stays.
func TestForget(t *testing.T) {
	b := make([]byte, 8<<16)
	for i := range b {
		b[i] = 1
	}
	part := b[100 : 100+1<<16]
	forget([][]byte{part, nil, b[:10]})
	left := 0
	for i, c := range b {
		if inside := i >= 100 && i < 100+1<<16; !inside && c != 1 {
			t.Fatalf("byte %d around it is gone", i)
		} else if inside && c == 1 {
			left++
		}
	}
	t.Logf("%d bytes of %d are left", left, len(part))
}
