//go:build !windows

package nat64

import "syscall"

const noRoute = syscall.ENETUNREACH
