// Package sysctl changes kernel settings, noted in a journal before they are
// made, and puts them back. It imports nothing of ours.
package sysctl

import "errors"

// Entry is one setting that was changed.
type Entry struct {
	Key string // a path below /proc/sys: net/ipv4/ip_forward
	Old string // what it was
	New string // what we made of it
}

// Journal keeps what is to be put back. Each call returns when it is durable.
type Journal interface {
	// Begin notes a change that is about to be made.
	Begin(Entry) error
	// Done drops all that is noted of a key.
	Done(key string) error
	// Entries is what is noted, oldest first.
	Entries() ([]Entry, error)
}

// ErrReadOnly says that settings cannot be written: a container.
var ErrReadOnly = errors.New("kernel settings are read-only here")
