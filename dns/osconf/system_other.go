//go:build !linux && !windows && !darwin

package osconf

// system is what is asked of the OS; here nothing is.
type system struct{}
