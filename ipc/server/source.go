package server

import (
	"sync"

	"kith.internal/ipc"
)

// Source is where the state comes from.
type Source interface {
	// Snapshot returns the state now, its revision, and a channel that is
	// closed once there is a newer one. The state must never be changed
	// afterwards, but may share what is the same with others. Its May is not
	// looked at.
	Snapshot() (st *ipc.Status, rev uint64, newer <-chan struct{})
}

// Board is a Source that a single writer publishes to. It never blocks.
type Board struct {
	mu    sync.Mutex
	st    *ipc.Status
	rev   uint64
	newer chan struct{}
}

// NewBoard starts with st.
func NewBoard(st *ipc.Status) *Board {
	return &Board{st: st, rev: 1, newer: make(chan struct{})}
}

// Publish makes st the state. The caller must not change it any more. Publish
// the same state again when the operators have changed.
func (b *Board) Publish(st *ipc.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.st = st
	b.rev++
	close(b.newer)
	b.newer = make(chan struct{})
}

// Outdate wakes who waits for a newer state, for a Source that makes it only
// when it is asked for.
func (b *Board) Outdate() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.newer)
	b.newer = make(chan struct{})
}

// Snapshot implements Source.
func (b *Board) Snapshot() (*ipc.Status, uint64, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.st, b.rev, b.newer
}
