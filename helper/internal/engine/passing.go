package engine

import "kith.internal/helper/internal/osnet/nat"

// passHere passes on in this process what the kernel cannot, and ends that for
// the zero configuration.
func (e *Engine) passHere(c nat.Config, why error) error {
	if len(c.Offers) == 0 {
		return nil
	}
	return why
}
