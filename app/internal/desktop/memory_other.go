//go:build !linux

package desktop

import "runtime/debug"

// GiveBack returns memory that is not in use to the system.
func GiveBack() { debug.FreeOSMemory() }
