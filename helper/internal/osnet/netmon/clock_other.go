//go:build !linux

package netmon

// clockJumps does nothing where the system does not tell without cgo: the
// beat finds out, and the first message of the network, which comes with
// waking up.
func clockJumps(jumped func()) (stop func()) { return func() {} }
