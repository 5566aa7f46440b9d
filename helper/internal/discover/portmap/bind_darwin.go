package portmap

import "golang.org/x/sys/unix"

func bind(fd uintptr, four bool, index int) {
	if four {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BOUND_IF, index)
	} else {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_BOUND_IF, index)
	}
}
