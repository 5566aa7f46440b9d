package portmap

import (
	"math/bits"

	"golang.org/x/sys/windows"
)

// ipUnicastIF is IP_UNICAST_IF and IPV6_UNICAST_IF of ws2ipdef.h.
const ipUnicastIF = 31

// bind sets the interface, which IPv4 takes in network byte order.
func bind(fd uintptr, four bool, index int) {
	if four {
		_ = windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, ipUnicastIF, int(int32(bits.ReverseBytes32(uint32(index)))))
	} else {
		_ = windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, ipUnicastIF, index)
	}
}
