// Package routertest is a router.Router in memory, for tests. Of ours it
// imports router alone.
package routertest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"kith.internal/helper/internal/osnet/router"
)

// Router keeps what was set on an interface that does not exist. Its methods
// may be called from any goroutine.
type Router struct {
	mu     sync.Mutex
	name   string
	config router.Config
	sets   int
	no6    bool
	gone   bool
	closed bool
	fail   error
}

var _ router.Router = (*Router)(nil)

// New makes an interface that has nothing on it.
func New(name string) *Router { return &Router{name: name} }

// DisableIPv6 switches IPv6 off on the host, or on again.
func (r *Router) DisableIPv6(off bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.no6 = off
	if off {
		r.config.Addrs = slices.DeleteFunc(r.config.Addrs, is6)
		r.config.Routes = slices.DeleteFunc(r.config.Routes, is6)
	}
}

// Delete makes the interface vanish, as when somebody removed it.
func (r *Router) Delete() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone, r.config = true, router.Config{}
}

// Fail makes Set fail and change nothing; nil ends that.
func (r *Router) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = err
}

// Config is what the interface has now.
func (r *Router) Config() router.Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.config
	c.Addrs, c.Routes = slices.Clone(c.Addrs), slices.Clone(c.Routes)
	return c
}

// Sets is how often Set was called.
func (r *Router) Sets() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sets
}

// Set is router.Router's.
func (r *Router) Set(c router.Config) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sets++
	if err := c.Validate(); err != nil {
		return fmt.Errorf("configure %s: %w", r.name, err)
	}
	switch {
	case r.closed:
		return errors.New("set on a closed router")
	case r.fail != nil:
		return fmt.Errorf("configure %s: %w", r.name, r.fail)
	case r.gone && len(c.Addrs) == 0 && !c.Up:
		return nil
	case r.gone:
		return fmt.Errorf("configure %s: %w", r.name, router.ErrGone)
	}
	if c.MTU == 0 {
		c.MTU = r.config.MTU
	}
	c.Addrs, c.Routes = unique(c.Addrs), unique(masked(c.Routes))
	wanted6 := slices.ContainsFunc(c.Addrs, is6) || slices.ContainsFunc(c.Routes, is6)
	if r.no6 {
		c.Addrs, c.Routes = slices.DeleteFunc(c.Addrs, is6), slices.DeleteFunc(c.Routes, is6)
	}
	r.config = c
	if r.no6 && wanted6 {
		return fmt.Errorf("configure %s: %w", r.name, router.ErrNoIPv6)
	}
	return nil
}

// Close is router.Router's.
func (r *Router) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return nil
}

func is6(p netip.Prefix) bool { return p.Addr().Is6() }

func masked(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, p.Masked())
	}
	return out
}

func unique(list []netip.Prefix) []netip.Prefix {
	out := slices.Clone(list)
	slices.SortFunc(out, netip.Prefix.Compare)
	return slices.Compact(out)
}
