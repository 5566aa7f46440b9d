package bypass

import (
	"math/bits"

	"golang.org/x/sys/windows"
)

// unicastIF is IP_UNICAST_IF and IPV6_UNICAST_IF of ws2ipdef.h.
const unicastIF = 31

// bind sets the interface, which IPv4 takes in network byte order.
func bind(fd uintptr, six bool, index int) {
	if six {
		_ = windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IPV6, unicastIF, index)
		return
	}
	_ = windows.SetsockoptInt(windows.Handle(fd), windows.IPPROTO_IP, unicastIF, int(int32(bits.ReverseBytes32(uint32(index)))))
}
