// Package egresstest is an egress.Egress in memory, for tests. Of ours it
// imports egress alone.
package egresstest

import (
	"sync"

	"kith.internal/helper/internal/osnet/egress"
)

// Egress keeps what was set, also after Close: give the same to the next process.
// Its methods may be called from any goroutine.
type Egress struct {
	mu      sync.Mutex
	config  egress.Config
	sets    int
	fail    error
	problem error
	changes chan struct{}
}

var _ egress.Egress = (*Egress)(nil)

// New makes a host where nothing is set.
func New() *Egress { return &Egress{changes: make(chan struct{}, 1)} }

// Fail makes Set fail and change nothing; nil ends that.
func (e *Egress) Fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fail = err
}

// Break has another program remove what was set, so that Problem gives err; nil
// is for what was put back.
func (e *Egress) Break(err error) {
	e.mu.Lock()
	e.problem = err
	e.mu.Unlock()
	select {
	case e.changes <- struct{}{}:
	default:
	}
}

// Config is what holds now.
func (e *Egress) Config() egress.Config {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.config
}

// Sets is how often Set was called.
func (e *Egress) Sets() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.sets
}

// Set is egress.Egress's.
func (e *Egress) Set(c egress.Config) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sets++
	if err := c.Validate(); err != nil {
		return err
	}
	if e.fail != nil {
		return e.fail
	}
	e.config, e.problem = c, nil
	return nil
}

// Changes is egress.Egress's.
func (e *Egress) Changes() <-chan struct{} { return e.changes }

// Problem is egress.Egress's.
func (e *Egress) Problem() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.problem
}

// Close is egress.Egress's.
func (e *Egress) Close() error { return nil }
