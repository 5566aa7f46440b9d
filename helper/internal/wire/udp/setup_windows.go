package udp

import (
	"errors"

	"golang.org/x/sys/windows"
)

const (
	errAddrInUse = windows.WSAEADDRINUSE
	errNoFamily  = windows.WSAEAFNOSUPPORT
	errNoAddress = windows.WSAEADDRNOTAVAIL
)

// soExclusiveAddrUse is SO_EXCLUSIVEADDRUSE of winsock2.h: without it any
// program of the same user may take our datagrams by SO_REUSEADDR.
const soExclusiveAddrUse = ^windows.SO_REUSEADDR

func setUp(fd uintptr) error {
	s := windows.Handle(fd)
	for _, option := range []int{windows.SO_RCVBUF, windows.SO_SNDBUF} {
		windows.SetsockoptInt(s, windows.SOL_SOCKET, option, bufferSize)
	}
	return windows.SetsockoptInt(s, windows.SOL_SOCKET, soExclusiveAddrUse, 1)
}

// cutOff tells that a datagram was longer than the buffer.
func cutOff(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
