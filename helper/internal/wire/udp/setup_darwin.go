package udp

import "golang.org/x/sys/unix"

const (
	errAddrInUse = unix.EADDRINUSE
	errNoFamily  = unix.EAFNOSUPPORT
	errNoAddress = unix.EADDRNOTAVAIL
)

// setUp asks for large buffers; kern.ipc.maxsockbuf may forbid so large ones.
func setUp(fd uintptr) error {
	for _, option := range []int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
		for size := bufferSize; size >= 1<<18; size /= 2 {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, size) == nil {
				break
			}
		}
	}
	return nil
}

// cutOff tells that a datagram was longer than the buffer: here it never is an
// error.
func cutOff(error) bool { return false }
