package store

import "sync"

// group lets writers that come while another syncs the disk share the next
// sync. There is no goroutine of its own: one of the waiting writers leads.
type group[T any] struct {
	commit func([]func(T) error) []error // applies in order; one result each

	mu    sync.Mutex
	busy  bool
	queue []*write[T]
}

type write[T any] struct {
	apply func(T) error
	done  chan error
	lead  chan struct{}
}

// maxBatch bounds what one failed writer makes the others do again.
const maxBatch = 128

// do returns once apply's changes are durable. apply may run several times,
// each time on a fresh T, and must change nothing outside it but what a later
// run overwrites.
func (g *group[T]) do(apply func(T) error) error {
	w := &write[T]{apply: apply, done: make(chan error, 1), lead: make(chan struct{}, 1)}
	g.mu.Lock()
	g.queue = append(g.queue, w)
	if g.busy {
		g.mu.Unlock()
		select {
		case err := <-w.done:
			return err
		case <-w.lead:
		}
		g.mu.Lock()
	}
	g.busy = true
	n := min(len(g.queue), maxBatch)
	batch := g.queue[:n:n]
	g.queue = g.queue[n:]
	g.mu.Unlock()

	applies := make([]func(T) error, n)
	for i, b := range batch {
		applies[i] = b.apply
	}
	for i, err := range g.commit(applies) {
		batch[i].done <- err
	}

	g.mu.Lock()
	if len(g.queue) > 0 {
		g.queue[0].lead <- struct{}{}
	} else {
		g.busy, g.queue = false, nil
	}
	g.mu.Unlock()
	return <-w.done
}
