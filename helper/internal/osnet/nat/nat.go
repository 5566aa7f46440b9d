// Package nat has the kernel pass on others' packets: from overlays to the
// internet (an exit node) and to subnets. It owns an nftables table of Kith,
// the forwarding settings, journalled, and the accepts that it puts into other
// firewalls' chains on Linux. Where the kernel cannot, Set says so and
// internal/usernat does it in this process.
package nat

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Config is what is passed on. The zero Config undoes everything.
type Config struct {
	Offers []Offer // one a network that offers something
	// Names is for when usernat passes on: nothing is set but what other programs'
	// firewalls need so that who uses an exit node can ask it for names.
	Names bool
}

// Offer is what one network may reach through this device. What is not named is
// not passed on, from the overlay or into it.
type Offer struct {
	TUN     string
	Index   int
	Sources []netip.Prefix // the overlay's; others are spoofed and dropped
	Exit    bool           // the internet
	ExitLAN bool           // with Exit: this device's own LANs too
	Routes  []Route
}

// Route is a subnet that this device passes packets on to.
type Route struct {
	Prefix netip.Prefix
	// SNAT gives what passes this device's own address there. Without it the
	// subnet sees overlay addresses and needs a route to them; it may then open
	// connections into the overlay itself.
	SNAT bool
}

// NAT applies a Config. Its methods may be called from any goroutine.
type NAT interface {
	// Set makes the kernel pass on what the configuration says: once or often,
	// it is the same. ErrUnable means that the kernel cannot here, and that
	// nothing is set: use usernat, and say why by the error.
	Set(Config) error
	// Changes has something to receive when Problems may have changed.
	Changes() <-chan struct{}
	// Problems is what hinders passing on now, though Set succeeded.
	Problems() []Problem
	// Close ends the watch and leaves everything as it is.
	Close() error
}

// Problem is what people may have to mend.
type Problem struct {
	Kind   ProblemKind
	Detail string // which rule, setting or program
}

// ProblemKind says what a Problem is about.
type ProblemKind int

const (
	// ForwardingOff: another program switched forwarding off, again and again.
	ForwardingOff ProblemKind = iota + 1
	// ForeignDrop: a firewall drops what is passed on, and we may not or cannot
	// put an accept into it.
	ForeignDrop
	// Removed: another program keeps removing our table.
	Removed
	// NoIPv6: IPv6 cannot be passed on; IPv4 is.
	NoIPv6
)

var (
	// ErrUnable says that the kernel cannot pass on here; the error that wraps it
	// says why.
	ErrUnable = errors.New("the kernel cannot pass packets on here")
	// ErrConfig says that a configuration cannot be set by anyone.
	ErrConfig = errors.New("not a configuration")
)

// Validate tells what is wrong with a configuration, wrapping ErrConfig.
func (c Config) Validate() error {
	for _, o := range c.Offers {
		if o.TUN == "" || len(o.TUN) > 15 || o.Index <= 0 || len(o.Sources) == 0 {
			return fmt.Errorf("%w: offer on %q with index %d for %v", ErrConfig, o.TUN, o.Index, o.Sources)
		}
		if o.ExitLAN && !o.Exit {
			return fmt.Errorf("%w: a LAN without an exit", ErrConfig)
		}
		all := slices.Clone(o.Sources)
		for _, r := range o.Routes {
			all = append(all, r.Prefix)
		}
		for _, p := range all {
			if !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "" || p.Bits() == 0 {
				return fmt.Errorf("%w: prefix %s", ErrConfig, p)
			}
		}
	}
	return nil
}

// idle tells whether nothing is offered.
func (c Config) idle() bool {
	return !slices.ContainsFunc(c.Offers, func(o Offer) bool { return o.Exit || len(o.Routes) > 0 })
}

// private is what is never the internet: RFC 1918, 6598, 3927, 4193, 4291, 5771
// and this host itself.
var private = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("::/127"), netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
}

// Private is what an exit passes nothing on to, whatever this device's LANs are.
func Private() []netip.Prefix { return slices.Clone(private) }
