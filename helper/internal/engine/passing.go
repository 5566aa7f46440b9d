package engine

import (
	"errors"
	"fmt"
	"slices"

	"kith.internal/helper/internal/osnet/nat"
	"kith.internal/helper/internal/usernat"
)

// passHere passes on in this process what the kernel cannot, and ends that for
// the zero configuration.
func (e *Engine) passHere(c nat.Config) error {
	var errs []error
	for _, n := range e.nets {
		if n.on == nil || n.on.index == 0 {
			continue
		}
		i := slices.IndexFunc(c.Offers, func(o nat.Offer) bool { return o.Index == n.on.index })
		if i < 0 {
			n.on.endPassing()
			continue
		}
		if err := n.on.pass(c.Offers[i]); err != nil {
			errs = append(errs, fmt.Errorf("pass on for %s: %w", n.alias, err))
		}
	}
	return errors.Join(errs...)
}

// pass has a network stack of our own take what is not for this host.
func (on *live) pass(o nat.Offer) error {
	if on.passing == nil {
		n, err := usernat.New(usernat.Config{MTU: mtu, Log: on.log})
		if err != nil {
			return err
		}
		on.passing = n
	}
	on.passing.Set(o)
	on.device.Use(on.passing, o.Sources[0])
	return nil
}

func (on *live) endPassing() {
	if on.passing == nil {
		return
	}
	on.device.Use(nil, rosterRange(on.n))
	on.passing.Close()
	on.passing = nil
}
