//go:build !linux

package nat

import (
	"fmt"

	"kith.internal/helper/internal/osnet/sysctl"
)

// New is a NAT that always leaves it to usernat.
func New(sysctl.Journal) (NAT, error) { return none{make(chan struct{})}, nil }

// Cleanup undoes what an earlier process left.
func Cleanup(sysctl.Journal) error { return nil }

type none struct{ never chan struct{} }

func (none) Set(c Config) error {
	if err := c.Validate(); err != nil || c.idle() || c.Names {
		return err
	}
	return fmt.Errorf("%w: this system's own NAT is not used", ErrUnable)
}

func (n none) Changes() <-chan struct{} { return n.never }
func (none) Problems() []Problem        { return nil }
func (none) Close() error               { return nil }
