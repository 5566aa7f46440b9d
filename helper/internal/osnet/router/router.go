// Package router puts addresses and routes on the TUN interface of a network.
// It decides by a pure plan and keeps nothing on disk. All that it sets hangs
// on the interface, so it goes when the interface goes. It owns no rules, no
// firewall and no sysctl, and imports of ours netmon alone.
package router

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Router configures one interface. It is not safe for concurrent use.
type Router interface {
	// Set makes the interface be as the configuration says: once or often, it
	// is the same. The zero Config undoes everything; on an interface that is
	// gone that is done already.
	//
	// ErrNoIPv6 means that all of IPv4 is in place. Other errors leave it
	// half done, with what could be done in place: Set it again.
	Set(Config) error
	// Close lets go of the interface and leaves it as it is.
	Close() error
}

// Config is what an interface has.
type Config struct {
	// Addrs are the device's own addresses. With /32 and /128 all that is
	// reached comes from Routes.
	Addrs []netip.Prefix
	// Routes lead into the interface. They need Up.
	Routes []netip.Prefix
	// MTU is left alone if 0, else at least 1280: below, systems drop IPv6.
	MTU int
	Up  bool
}

var (
	// ErrNoIPv6 is a notice: IPv6 is switched off on the host or on the
	// interface, and IPv4 alone was set.
	ErrNoIPv6 = errors.New("IPv6 is off on this host")
	// ErrTaken says that another interface has the same route or address.
	ErrTaken = errors.New("taken by another interface")
	// ErrGone says that the interface does not exist.
	ErrGone = errors.New("the interface is gone")
	// ErrConfig says that a configuration cannot be set by anyone.
	ErrConfig = errors.New("not a configuration")
)

// MinMTU is what IPv6 asks of a link (RFC 8200 §5).
const MinMTU = 1280

// Validate tells what is wrong with a configuration, wrapping ErrConfig.
func (c Config) Validate() error {
	if c.MTU != 0 && (c.MTU < MinMTU || c.MTU > 65535) {
		return fmt.Errorf("%w: MTU %d is not within %d and 65535", ErrConfig, c.MTU, MinMTU)
	}
	for _, p := range slices.Concat(c.Addrs, c.Routes) {
		if !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "" {
			return fmt.Errorf("%w: prefix %s", ErrConfig, p)
		}
	}
	for _, p := range c.Addrs {
		if a := p.Addr(); a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
			return fmt.Errorf("%w: address %s", ErrConfig, p)
		}
	}
	if len(c.Routes) > 0 && !c.Up {
		return fmt.Errorf("%w: routes on an interface that is down", ErrConfig)
	}
	return nil
}

// state is what an interface has, or shall have: sorted, without duplicates,
// routes masked.
type state struct {
	addrs, routes []netip.Prefix
	mtu           int
	up            bool
}

func (c Config) state() state {
	s := state{addrs: slices.Clone(c.Addrs), mtu: c.MTU, up: c.Up}
	for _, r := range c.Routes {
		s.routes = append(s.routes, r.Masked())
	}
	s.normalize()
	return s
}

func (s *state) normalize() {
	for _, l := range []*[]netip.Prefix{&s.addrs, &s.routes} {
		slices.SortFunc(*l, netip.Prefix.Compare)
		*l = slices.Compact(*l)
	}
}
