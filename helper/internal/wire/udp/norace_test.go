//go:build !race

package udp

const poolsLeak = false
