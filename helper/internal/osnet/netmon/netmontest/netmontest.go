// Package netmontest is a host's network in memory, for tests. Of ours it
// imports netmon alone, and it works inside a testing/synctest bubble.
package netmontest

import (
	"net"
	"slices"
	"sync"

	"kith.internal/helper/internal/osnet/netmon"
)

// Host is a netmon.System. Give it to netmon.Watch. Its methods may be called
// from any goroutine.
type Host struct {
	said   chan netmon.Kind
	closed chan struct{}

	mu     sync.Mutex
	state  netmon.State
	routes []netmon.Route
	err    error
	reads  int
	ended  bool
}

var _ netmon.System = (*Host)(nil)

// New makes a host. Call it inside the bubble that uses it.
func New(interfaces ...netmon.Interface) *Host {
	return &Host{
		said: make(chan netmon.Kind, 1000), closed: make(chan struct{}),
		state: netmon.State{Interfaces: interfaces},
	}
}

// Set changes what the host has, and says so.
func (h *Host) Set(s netmon.State, routes ...netmon.Route) {
	h.mu.Lock()
	s.Interfaces = slices.Clone(s.Interfaces)
	h.state, h.routes, h.err = s, routes, nil
	h.mu.Unlock()
	h.said <- netmon.Maybe
}

// Break makes Read fail until the next Set, and says that something happened.
func (h *Host) Break(err error) {
	h.mu.Lock()
	h.err = err
	h.mu.Unlock()
	h.said <- netmon.Maybe
}

// Chatter says that something happened when nothing did.
func (h *Host) Chatter() { h.said <- netmon.Maybe }

// Flap loses a carrier and finds it again, too fast for anyone to see.
func (h *Host) Flap() { h.said <- netmon.Surely }

// Reads is how often the state was read.
func (h *Host) Reads() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reads
}

// Read is netmon.System's.
func (h *Host) Read() (netmon.State, []netmon.Route, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reads++
	s := h.state
	s.Interfaces = slices.Clone(s.Interfaces)
	return s, slices.Clone(h.routes), h.err
}

// Wait is netmon.System's.
func (h *Host) Wait() (netmon.Kind, error) {
	select {
	case k := <-h.said:
		return k, nil
	case <-h.closed:
		return netmon.Nothing, net.ErrClosed
	}
}

// Close is netmon.System's.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		h.ended = true
		close(h.closed)
	}
	return nil
}
