//go:build !bench

package e2e

// plainWireGuard is the other end of the benchmarks.
func plainWireGuard() bool { return false }
