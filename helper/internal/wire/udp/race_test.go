//go:build race

package udp

// poolsLeak: under the race detector sync.Pool drops a part of what it is given.
const poolsLeak = true
