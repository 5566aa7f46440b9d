//go:build !linux

package bypass

import (
	"strings"
	"sync/atomic"
	"syscall"
)

var uplink4, uplink6 atomic.Int32

// SetUplink names the interfaces of the IPv4 and IPv6 default routes that
// sockets made from now on are bound to; 0 binds them to none, as it is without
// an exit node.
func SetUplink(index4, index6 int) {
	uplink4.Store(int32(index4))
	uplink6.Store(int32(index6))
}

// Control is for net.Dialer and net.ListenConfig: it takes a socket around the
// exit node. Where that fails the socket stays as it is.
func Control(network, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { Socket(fd, strings.HasSuffix(network, "6")) })
}

// Socket does the same to one that is open already.
func Socket(fd uintptr, six bool) {
	index := uplink4.Load()
	if six {
		index = uplink6.Load()
	}
	bind(fd, six, int(index))
}
