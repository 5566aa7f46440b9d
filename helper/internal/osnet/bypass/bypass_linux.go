package bypass

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Control is for net.Dialer and net.ListenConfig: it takes a socket around the
// exit node. Where this process may not (no CAP_NET_ADMIN), there can be no exit
// either, and the socket stays as it is. A listener's connections inherit it.
func Control(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { Socket(fd) })
}

// Keep does the same to a socket that stays for long; a mark needs no renewal.
func Keep(c syscall.RawConn, _ bool) error {
	return c.Control(func(fd uintptr) { Socket(fd) })
}

// Socket does the same to a file descriptor.
func Socket(fd uintptr) {
	// EPERM alone can come of it.
	_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(Mark))
}

// SetUplink is needed on systems without marks.
func SetUplink(_, _ int) {}
