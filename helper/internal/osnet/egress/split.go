package egress

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// Where there are no policy rules, two halves of each default route lead into
// the TUN: longer than the system's own, so that it stays as it is, and shorter
// than any connected network's. Our own sockets are bound to the uplink.

// split is the Egress of such systems.
type split struct {
	system
	changes chan struct{}

	mu      sync.Mutex // guards what follows, and the order of changes to the host
	routes  map[netip.Prefix]int
	problem error
}

// system is what of it differs.
type system interface {
	// lead makes a route into an interface, or nowhere for index 0, in the place
	// of the one for that prefix into the interface before, -1 for none.
	lead(p netip.Prefix, index, before int) error
	// remove removes one. That there is none is success.
	remove(p netip.Prefix, index int) error
	// guard sets the leak guard, or removes it. It may be unable to.
	guard(Config) error
	io.Closer
}

var halves = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1"),
	netip.MustParsePrefix("::/1"), netip.MustParsePrefix("8000::/1"),
}

// halved is the routes that a configuration needs there. A family that the exit
// does not carry goes into the TUN all the same, and ends there.
func (c Config) halved() map[netip.Prefix]int {
	want := map[netip.Prefix]int{}
	for _, r := range c.Routes {
		if !c.local(r.Prefix) {
			want[r.Prefix.Masked()] = r.Index
		}
	}
	if c.Exit {
		for _, p := range halves {
			want[p] = c.Index
		}
	}
	return want
}

func newSplit(s system) *split {
	return &split{system: s, changes: make(chan struct{}, 1), routes: map[netip.Prefix]int{}}
}

func (s *split) Set(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	guard := func() {
		if err := s.guard(c); err != nil {
			errs = append(errs, fmt.Errorf("%w: %w", ErrNoGuard, err))
		}
	}
	if c.Block {
		guard()
	}
	want := c.halved()
	for _, p := range slices.SortedFunc(maps.Keys(want), netip.Prefix.Compare) {
		before, have := s.routes[p]
		if have && before == want[p] {
			continue
		}
		if !have {
			before = -1
		}
		if err := s.lead(p, want[p], before); err != nil {
			errs = append(errs, fmt.Errorf("route %s: %w", p, err))
			continue
		}
		s.routes[p] = want[p]
	}
	for _, p := range slices.SortedFunc(maps.Keys(s.routes), netip.Prefix.Compare) {
		if _, keep := want[p]; keep {
			continue
		}
		if err := s.remove(p, s.routes[p]); err != nil {
			errs = append(errs, fmt.Errorf("remove the route %s: %w", p, err))
			continue
		}
		delete(s.routes, p)
	}
	if !c.Block {
		guard()
	}
	s.problem = errors.Join(errs...)
	return s.problem
}

// Changes is never signalled: other programs' changes are not watched here.
func (s *split) Changes() <-chan struct{} { return s.changes }

func (s *split) Problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}
