//go:build !linux

package wire

// batchSize is 1 where the system moves one datagram a call: wireguard-go sizes
// its buffers by it.
const batchSize = 1
