//go:build !linux && !windows && !darwin

package osconf

import "runtime"

// New says honestly that this OS's resolver is not configured yet: the stub
// answers at its address all the same.
func New(cfg Config) (Manager, error) {
	return unsupported(cfg, &UnsupportedError{Owner: runtime.GOOS, Why: "its resolver cannot be configured by this build"}), nil
}

// Restore has nothing to put back: New changes nothing here.
func Restore(Config) error { return nil }
