// Package osconf owns what the OS's resolver is told: it finds out what rules
// it, applies a plan, and puts back byte for byte what was there, at the end
// or after a crash. It imports of ours only the plan.
package osconf

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"kith.internal/dns/plan"
)

// Mode is how the OS's resolver is configured.
type Mode string

const (
	ModePlain       Mode = "plain"       // /etc/resolv.conf is ours to write
	ModeUnsupported Mode = "unsupported" // something else rules: names resolve at self.dns only
)

// ErrUnsupported is in the chain of what Set returns in ModeUnsupported.
var ErrUnsupported = errors.New("unsupported resolver setup, names resolve through self.dns only")

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
	Kind   string // "resolv.conf"
	Path   string // what is changed
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
