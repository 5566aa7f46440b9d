//go:build !linux

package stub

import "syscall"

// freebind has no twin here: an address that is not there yet is tried again.
func freebind(_, _ string, _ syscall.RawConn) error { return nil }
