//go:build !bench

package e2e

// runFlags let the logs of a failed test say more.
var runFlags = []string{"--debug"}

// plainWireGuard is the other end of the benchmarks.
func plainWireGuard() bool { return false }
