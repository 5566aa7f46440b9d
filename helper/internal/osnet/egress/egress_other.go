//go:build !linux

package egress

import "kith.internal/helper/internal/osnet/sysctl"

// New takes hold of the system's routing.
func New(sysctl.Journal) (Egress, error) { return nil, ErrUnsupported }

// Cleanup undoes what an earlier process left, the block included.
func Cleanup(sysctl.Journal) error { return nil }
