package tunnel

import (
	"os"
	"sync"
	"time"
)

// wireguard-go holds a batch of buffers, 8 MiB, for each place where it reads,
// and once they have been in use they stay resident. When the traffic is over
// they are given back to the system; it gives empty ones in their place when they
// are written to.
const (
	busyBatch = 16               // packets at once are load
	restAfter = 10 * time.Second // of little traffic
	restBelow = 500              // packets in that time are little
	restWait  = time.Second      // for a reader to come by
)

// Nudger is a Bind whose receive functions can be had to return with nothing.
type Nudger interface {
	// Nudge has them return again and again, until the function it gives back is
	// called.
	Nudge() (end func())
}

// rest waits for the end of load.
type rest struct {
	moved func() int64 // packets taken in so far
	nudge Nudger       // nil: the receive functions are left alone
	tun   *intake
	file  *os.File // the TUN's; nil: it is left alone

	mu      sync.Mutex
	in      []*intake // the receive functions'
	timer   *time.Timer
	last    int64
	waiting map[*intake]bool
	all     chan struct{} // closed when none of them waits
	stopped bool
}

func (r *rest) receivers(in []*intake) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.in = in
}

// arm notes load.
func (r *rest) arm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.timer == nil && !r.stopped {
		r.last = r.moved()
		r.timer = time.AfterFunc(restAfter, r.look)
	}
}

func (r *rest) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.timer = nil
	if r.stopped {
		return
	}
	if now := r.moved(); now-r.last > restBelow {
		r.last = now
		r.timer = time.AfterFunc(restAfter, r.look)
		return
	}
	if r.nudge != nil {
		r.call(r.in, r.nudge.Nudge)
	}
	if r.file != nil {
		r.call([]*intake{r.tun}, func() func() {
			r.file.SetReadDeadline(time.Unix(1, 0))
			return func() { r.file.SetReadDeadline(time.Time{}) }
		})
	}
}

// call asks intakes for their buffers' memory and has them come by. The caller
// holds mu, which is let go meanwhile.
func (r *rest) call(in []*intake, nudge func() (end func())) {
	r.waiting, r.all = map[*intake]bool{}, make(chan struct{})
	for _, t := range in {
		r.waiting[t] = true
		t.ask.Store(true)
	}
	all := r.all
	r.mu.Unlock()
	end := nudge()
	select {
	case <-all:
	case <-time.After(restWait):
	}
	end()
	r.mu.Lock()
}

// gave notes that an intake came by.
func (r *rest) gave(t *intake) {
	t.ask.Store(false)
	r.mu.Lock()
	defer r.mu.Unlock()
	if delete(r.waiting, t); len(r.waiting) == 0 && r.all != nil {
		close(r.all)
		r.all = nil
	}
}

func (r *rest) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.timer != nil {
		r.timer.Stop()
	}
}
