//go:build linux || darwin

package relay

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// notSent is how much the kernel may hold of what it has not sent yet, in bytes.
// More would age there, out of reach of the link's own queue.
const notSent = 64 << 10

// tuneTCP readies a connection for datagrams. Links keep themselves alive, so
// TCP need not.
func tuneTCP(c net.Conn) {
	if k, ok := c.(interface{ SetKeepAlive(bool) error }); ok {
		k.SetKeepAlive(false)
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := sc.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, notSent)
		})
	}
}
