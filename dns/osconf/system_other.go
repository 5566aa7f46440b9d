//go:build !linux && !windows

package osconf

import "context"

// system is what is asked of the OS beside files; a nil member is the OS's own.
type system struct {
	run func(ctx context.Context, stdin []byte, path string, args ...string) ([]byte, error)
}
