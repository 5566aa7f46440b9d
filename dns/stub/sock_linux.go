package stub

import (
	"syscall"

	"golang.org/x/sys/unix"
)

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
	})
	if ctl != nil {
		return ctl
	}
	return err
}
