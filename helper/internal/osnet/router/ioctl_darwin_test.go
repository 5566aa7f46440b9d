package router

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The size of its argument is part of an ioctl's number (sys/ioccom.h).
func TestRequestSizes(t *testing.T) {
	for _, c := range []struct {
		name    string
		request uint32
		size    uintptr
	}{
		{"SIOCAIFADDR", unix.SIOCAIFADDR, unsafe.Sizeof(ifAliasReq{})},
		{"SIOCDIFADDR", unix.SIOCDIFADDR, unsafe.Sizeof(ifreqAddr{})},
		{"SIOCSIFFLAGS", unix.SIOCSIFFLAGS, unsafe.Sizeof(ifreqFlags{})},
		{"SIOCAIFADDR_IN6", siocAIFAddrIn6, unsafe.Sizeof(in6AliasReq{})},
		{"SIOCDIFADDR_IN6", siocDIFAddrIn6, unsafe.Sizeof(in6Ifreq{})},
	} {
		if got := uintptr(c.request >> 16 & 0x1fff); got != c.size {
			t.Errorf("%s: the argument has %d bytes, the number says %d", c.name, c.size, got)
		}
	}
}

// These fail to compile where a size differs, so that a cross compile is
// proof enough.
var (
	_ [siocAIFAddrIn6 >> 16 & 0x1fff]byte = [unsafe.Sizeof(in6AliasReq{})]byte{}
	_ [siocDIFAddrIn6 >> 16 & 0x1fff]byte = [unsafe.Sizeof(in6Ifreq{})]byte{}
)
