package engine

import (
	"context"
	"sync"
)

// mailbox is the actor's queue of work. Posting never blocks, so packet paths
// and callbacks may post; the queue is short because posts that repeat
// themselves are coalesced by their senders.
type mailbox struct {
	mu     sync.Mutex
	queue  []func()
	wake   chan struct{}
	closed bool
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

// post queues fn; false when the actor has ended.
func (m *mailbox) post(fn func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.queue = append(m.queue, fn)
	select {
	case m.wake <- struct{}{}:
	default:
	}
	return true
}

// take is all that is queued.
func (m *mailbox) take() []func() {
	m.mu.Lock()
	defer m.mu.Unlock()
	q := m.queue
	m.queue = nil
	return q
}

// run serves the mailbox until ctx ends.
func (m *mailbox) run(ctx context.Context) {
	for {
		for _, fn := range m.take() {
			fn()
		}
		select {
		case <-m.wake:
		case <-ctx.Done():
			m.mu.Lock()
			m.closed = true
			m.queue = nil
			m.mu.Unlock()
			return
		}
	}
}
