package stub

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// recvBuffer holds a burst while the reader is off the processor: the default
// is full after some 270 small queries.
const recvBuffer = 1 << 20

// freebind lets a socket have an address that is not there yet, and keep it
// while its link goes and comes.
func freebind(network, _ string, c syscall.RawConn) error {
	var err error
	ctl := c.Control(func(fd uintptr) {
		if network[len(network)-1] == '6' {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		}
		// Older kernels know only this one, for both families.
		if e := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1); e == nil {
			err = nil
		}
		if network[:3] == "udp" {
			// Beside a resolver that has port 53 of all addresses, and says the
			// same, as dnsmasq does: the socket of the one address gets the queries.
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
			// Without the privilege the default has to do.
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, recvBuffer)
		}
	})
	if ctl != nil {
		return ctl
	}
	return err
}
