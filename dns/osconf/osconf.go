// Package osconf owns what the OS's resolver is told: it finds out what rules
// it, applies a plan, and puts back byte for byte what was there, at the end
// or after a crash. It imports of ours only the plan.
package osconf

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"

	"kith.internal/dns/plan"
)

// Mode is how the OS's resolver is configured.
type Mode string

const (
	ModePlain          Mode = "plain"            // /etc/resolv.conf is ours to write
	ModeResolved       Mode = "systemd-resolved" // told over D-Bus about our link
	ModeNetworkManager Mode = "NetworkManager"   // told over D-Bus about our link
	ModeResolvconf     Mode = "resolvconf"       // Debian's, by its command
	ModeOpenresolv     Mode = "openresolv"       // by its command
	ModeNRPT           Mode = "NRPT"             // Windows' name resolution policy table
	ModeResolverFiles  Mode = "resolver files"   // macOS' /etc/resolver, and scutil
	ModeUnsupported    Mode = "unsupported"      // something else rules: names resolve at self.dns only
)

// ErrUnsupported is in the chain of what Set returns in ModeUnsupported.
var ErrUnsupported = errors.New("unsupported resolver setup, names resolve through self.dns only")

var errClosed = errors.New("resolver configuration is closed")

// ErrGivenUp is in the chain of what Set returns once another program has
// rewritten the file too often; a changed configuration is tried again.
var ErrGivenUp = errors.New("another program keeps rewriting the resolver configuration")

// UnsupportedError says what rules the resolver and how that is known.
type UnsupportedError struct{ Owner, Why string }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%v: %s rules it: %s", ErrUnsupported, e.Owner, e.Why)
}

func (e *UnsupportedError) Unwrap() error { return ErrUnsupported }

// Base is the host's resolver configuration as it is without us.
type Base struct {
	Nameservers []netip.AddrPort
	Search      []string
	Options     []string
}

// Entry names one change to the OS in the helper's journal.
type Entry struct {
	Kind   string // "resolv.conf", "resolvconf", "nrpt" or "resolver-files"
	Path   string // what is changed: a file, a registry key
	Backup string // the directory that holds what was there
}

// Journal is told before the first change to the OS and after the last trace
// of it is gone. Each call returns when its record is durable.
type Journal interface {
	Begin(Entry) error
	Done(Entry) error
}

// EventKind says what an Event is about.
type EventKind string

const (
	BaseChanged EventKind = "base-changed" // another program wrote; forward to the new Base
	Reapplied   EventKind = "reapplied"    // ours was written again over it
	GaveUp      EventKind = "gave-up"      // it is left as that program wrote it
)

// Event is what happens without a call.
type Event struct {
	Kind EventKind
	Base Base
	By   string // who wrote, if its file says so
	Why  error  // GaveUp: the cause
}

// Config is what a Manager needs.
type Config struct {
	Root     string  // "" is "/"; tests have their own
	StateDir string  // for the backup: 0700, ours
	Journal  Journal // nil: none
	Log      *slog.Logger
	Hostname func() (string, error) // nil: the OS's; its domain is the search list where there is none
	// Notify is told of events, one at a time and in order; it must not wait
	// for a call of the Manager to return.
	Notify func(Event)

	system system // the zero value is the OS's own; tests have fakes
}

// link is the interface that holds our first nameserver's address.
type link struct {
	name  string
	index int
	addrs []netip.Addr
}

// errNoLink is in the chain of what Set returns where the setup works by links
// and none holds the first nameserver's address.
var errNoLink = errors.New("no interface has the address")

// linkOf finds the interface of addr by asking the OS, so that a TUN that was
// made anew is seen.
func linkOf(addr netip.Addr) (link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return link{}, fmt.Errorf("list interfaces: %w", err)
	}
	// An address inside a TUN is no interface's: ours is the one that leads there.
	source := sourceFor(addr)
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away
		}
		l := link{name: i.Name, index: i.Index}
		found := false
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					l.addrs = append(l.addrs, ip.Unmap())
					found = found || ip.Unmap() == source
				}
			}
		}
		if found {
			return l, nil
		}
	}
	return link{}, fmt.Errorf("find the interface of %v: %w", addr, errNoLink)
}

// sourceFor is the address of ours that packets to addr carry; addr itself where
// it is one of ours, or nothing leads there.
func sourceFor(addr netip.Addr) netip.Addr {
	c, err := net.Dial("udp", netip.AddrPortFrom(addr, 53).String()) // sends nothing
	if err != nil {
		return addr
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}

func linkName(index int) string {
	i, err := net.InterfaceByIndex(index)
	if err != nil {
		return ""
	}
	return i.Name
}

// own are those of addrs that are the link's: a query to another's would leave
// through this one.
func (l link) own(addrs []netip.Addr) []netip.Addr {
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool {
		return !slices.Contains(l.addrs, a) && !slices.Contains(l.addrs, sourceFor(a))
	})
}

// Manager applies a plan to the OS. Its methods may be called by any
// goroutine, one at a time each.
type Manager interface {
	// Set makes the OS's configuration be c. The same again does nothing; the
	// zero OSConfig undoes everything. In ModeUnsupported a non-zero c fails
	// with an *UnsupportedError and changes nothing.
	Set(c plan.OSConfig) error
	// Base is what the OS had of its own, our nameservers left out.
	Base() Base
	// Mode is how the OS is configured, and how that was found out.
	Mode() (m Mode, why string)
	// Abilities are what this way of configuring can express.
	Abilities() plan.Abilities
	// Close undoes everything and ends the watch.
	Close() error
}
