// Package egress steers what this machine sends: into an exit node, into subnet
// routes, or nowhere. It owns the policy rules, a routing table and the leak
// guard (an nftables table) of Kith on Linux, and their like elsewhere; there is
// one Egress in a process. Addresses and the overlay's own routes are package
// router's, passing on for others is package nat's. Our own sockets go around
// all of it by package bypass.
//
// The guard is the last word on what leaves in clear: routes alone are not
// enough, since programs bind to interfaces and others change routes. It
// outlives this process, killed or crashed. Whoever starts again after that
// calls Set with the decision that holds now, not Cleanup before it: between the
// two everything would leak.
package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Config is what becomes of this machine's packets. The zero Config undoes
// everything.
type Config struct {
	// Own is the TUNs of all our networks that are up: what goes into them is
	// sealed, so it is never blocked, and their prefixes go there whatever else
	// holds. It alone changes nothing on the host.
	Own []Interface
	// Routes are accepted subnet routes. Without an exit they yield to every
	// route of the host's own but its default; with one, to AllowLAN.
	Routes []Route

	// Exit sends the internet to TUN in the families that it carries; the other
	// family, or both while TUN is "", is unreachable.
	Exit   bool
	TUN    string
	Index  int // of TUN
	V4, V6 bool
	// Block lets nothing leave in clear but our own sockets' packets, what keeps
	// the links alive (DHCP, neighbour discovery) and AllowLAN. It needs Exit.
	// Networks inside this machine, as of containers, are not blocked.
	Block bool
	// AllowLAN is what stays reachable beside the exit: give connected prefixes
	// of private addresses alone, as a LAN can claim any other for its own.
	// Multicast and broadcast on the links come with it. DNS (ports 53 and 853)
	// does not: a LAN's resolver asks the internet in clear.
	AllowLAN []netip.Prefix
	// Portal lets DNS and TCP 80 and 443 pass in clear: for the minutes of
	// signing in to a captive portal.
	Portal bool
}

// Interface is a TUN of ours.
type Interface struct {
	Name     string
	Index    int
	Prefixes []netip.Prefix // of the network
}

// Route is a subnet behind a peer.
type Route struct {
	Prefix netip.Prefix
	Index  int // of the TUN that leads there
}

// Egress applies a Config. Its methods may be called from any goroutine.
type Egress interface {
	// Set makes the host be as the configuration says: once or often, it is the
	// same, and from one to another nothing leaks that both of them block. With
	// Block it stands before any route changes, and falls last.
	//
	// Errors leave done what could be done: ErrNoGuard means that all but the
	// guard is in place, and that programs which bind to an interface are not
	// held back. Set it again.
	Set(Config) error
	// Changes has something to receive when another program removed what was
	// set: it was put back, or Problem says why not. Spurious signals may come.
	Changes() <-chan struct{}
	// Problem is what stands in the way of the last Config now, nil if nothing:
	// it wraps ErrFight, ErrNoGuard or what the system said.
	Problem() error
	// Close ends the watch and leaves everything as it is: Set the zero Config
	// before it to undo it.
	Close() error
}

var (
	// ErrUnsupported says that this system can have no exit node.
	ErrUnsupported = errors.New("exit nodes cannot be used on this system")
	// ErrNoGuard says that the leak guard could not be set.
	ErrNoGuard = errors.New("the leak guard could not be set")
	// ErrFight says that another program removes what is ours again and again.
	ErrFight = errors.New("another program keeps removing Kith's rules")
	// ErrConfig says that a configuration cannot be set by anyone.
	ErrConfig = errors.New("not a configuration")
)

// Validate tells what is wrong with a configuration, wrapping ErrConfig.
func (c Config) Validate() error {
	if c.Block && !c.Exit {
		return fmt.Errorf("%w: a block without an exit", ErrConfig)
	}
	if c.TUN != "" && c.Index <= 0 {
		return fmt.Errorf("%w: %s has no index", ErrConfig, c.TUN)
	}
	for _, o := range c.Own {
		if o.Name == "" || len(o.Name) > 15 || strings.ContainsAny(o.Name, "\"* /\x00") || o.Index <= 0 {
			return fmt.Errorf("%w: interface %q, index %d", ErrConfig, o.Name, o.Index)
		}
		for _, p := range o.Prefixes {
			if err := check(p); err != nil {
				return err
			}
		}
	}
	for _, r := range c.Routes {
		if err := check(r.Prefix); err != nil {
			return err
		}
		if r.Index <= 0 {
			return fmt.Errorf("%w: a route for %s to nowhere", ErrConfig, r.Prefix)
		}
	}
	for _, p := range c.AllowLAN {
		if err := check(p); err != nil {
			return err
		}
	}
	return nil
}

// check refuses what is no network: a default route is an exit's.
func check(p netip.Prefix) error {
	if !p.IsValid() || p.Addr().Is4In6() || p.Addr().Zone() != "" || p.Bits() == 0 || p.Addr().IsLoopback() {
		return fmt.Errorf("%w: prefix %s", ErrConfig, p)
	}
	return nil
}

// idle tells whether a configuration asks for nothing.
func (c Config) idle() bool { return !c.Exit && len(c.Routes) == 0 }
