// Package nattest is a nat.NAT in memory, for tests. Of ours it imports nat
// alone.
package nattest

import (
	"slices"
	"sync"

	"kith.internal/helper/internal/osnet/nat"
)

// NAT keeps what was set. Its methods may be called from any goroutine.
type NAT struct {
	mu       sync.Mutex
	config   nat.Config
	sets     int
	fail     error
	problems []nat.Problem
	changes  chan struct{}
}

var _ nat.NAT = (*NAT)(nil)

// New makes a kernel that passes nothing on.
func New() *NAT { return &NAT{changes: make(chan struct{}, 1)} }

// Fail makes Set fail and set nothing, with nat.ErrUnable for instance; nil ends
// that. What undoes everything never fails, nor what lets questions in.
func (n *NAT) Fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail = err
}

// Hinder has problems arise, or be gone.
func (n *NAT) Hinder(p ...nat.Problem) {
	n.mu.Lock()
	n.problems = p
	n.mu.Unlock()
	select {
	case n.changes <- struct{}{}:
	default:
	}
}

// Config is what is passed on now.
func (n *NAT) Config() nat.Config {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.config
}

// Sets is how often Set was called.
func (n *NAT) Sets() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sets
}

// Set is nat.NAT's.
func (n *NAT) Set(c nat.Config) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sets++
	if err := c.Validate(); err != nil {
		return err
	}
	if n.fail != nil && len(c.Offers) > 0 && !c.Names {
		n.config = nat.Config{}
		return n.fail
	}
	n.config = c
	return nil
}

// Changes is nat.NAT's.
func (n *NAT) Changes() <-chan struct{} { return n.changes }

// Problems is nat.NAT's.
func (n *NAT) Problems() []nat.Problem {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.problems)
}

// Close is nat.NAT's.
func (n *NAT) Close() error { return nil }
