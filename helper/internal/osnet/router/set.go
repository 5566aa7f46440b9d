package router

import (
	"errors"
	"fmt"
	"io"
)

// kernel is what a system lets us see of an interface and do to it.
type kernel interface {
	// have reads the interface, or fails with ErrGone.
	have() (state, error)
	// do makes one change. What is there already, or gone already, is success.
	// It fails with errNo6 where IPv6 is off, with ErrTaken and ErrGone.
	do(op) error
	io.Closer
}

// errNo6 is a kernel's word that a change failed because IPv6 is off.
var errNo6 = errors.New("no IPv6")

// router is the Router of every system.
type router struct {
	name string
	kernel
}

// rounds bounds how often Set looks again: one change may undo another, as
// when a system drops an address's routes or secondary addresses with it.
const rounds = 3

func (r router) Set(c Config) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("configure %s: %w", r.name, err)
	}
	want := c.state()
	for range rounds {
		have, err := r.have()
		if errors.Is(err, ErrGone) && len(want.addrs) == 0 && !want.up {
			return nil
		}
		if err != nil {
			return fmt.Errorf("configure %s: %w", r.name, err)
		}
		ops := plan(have, want)
		if len(ops) == 0 {
			return nil
		}
		if err := r.apply(ops); err != nil {
			return fmt.Errorf("configure %s: %w", r.name, err)
		}
	}
	return nil
}

// apply makes all changes that can be made.
func (r router) apply(ops []op) error {
	var errs []error
	no6 := false
	for _, o := range ops {
		is6 := o.prefix.IsValid() && o.prefix.Addr().Is6()
		if is6 && no6 {
			continue
		}
		err := r.do(o)
		switch {
		case err == nil:
		case is6 && errors.Is(err, errNo6):
			no6 = true
		default:
			errs = append(errs, fmt.Errorf("%s: %w", o, err))
		}
	}
	if len(errs) == 0 && no6 {
		return ErrNoIPv6
	}
	return errors.Join(errs...)
}
