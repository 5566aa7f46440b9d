package wire

import (
	"sync"
	"sync/atomic"
)

// events tells the Handler what happens, in order and without a lock held.
type events struct {
	mu    sync.Mutex
	queue []func(Handler)
	kick  chan struct{}
}

func (e *events) start(w *Wire) {
	e.kick = make(chan struct{}, 1)
	w.wg.Go(func() {
		for {
			select {
			case <-e.kick:
			case <-w.done:
				return
			}
			for _, tell := range e.take() {
				tell(w.handler)
			}
		}
	})
}

func (e *events) add(tell func(Handler)) {
	e.mu.Lock()
	e.queue = append(e.queue, tell)
	e.mu.Unlock()
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

func (e *events) take() []func(Handler) {
	e.mu.Lock()
	defer e.mu.Unlock()
	q := e.queue
	e.queue = nil
	return q
}

// drops counts what was not let in, by reason.
type drops struct {
	strangers  atomic.Uint64 // sealed by nobody we know, or from one of our TUNs
	forged     atomic.Uint64 // not sealed by whom they name
	replayed   atomic.Uint64
	malformed  atomic.Uint64
	limited    atomic.Uint64 // over a rate
	frames     atomic.Uint64 // not to be passed on, or not so
	quota      atomic.Uint64 // frames
	share      atomic.Uint64 // frames beyond their sender's
	feed       atomic.Uint64 // WireGuard's, that found the queue full
	queue      atomic.Uint64 // QUIC packets that found the queue full
	stun       atomic.Uint64
	readErrors atomic.Uint64
}

// all gives the counts that are not zero.
func (d *drops) all() map[string]uint64 {
	out := map[string]uint64{}
	for name, n := range map[string]*atomic.Uint64{
		"strangers": &d.strangers, "forged": &d.forged, "replayed": &d.replayed, "malformed": &d.malformed,
		"limited": &d.limited, "frames": &d.frames, "quota": &d.quota, "share": &d.share, "feed": &d.feed, "queue": &d.queue,
		"stun": &d.stun, "read errors": &d.readErrors,
	} {
		if n := n.Load(); n > 0 {
			out[name] = n
		}
	}
	return out
}
