package router

import (
	"fmt"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What golang.org/x/sys/unix lacks of netinet6/in6_var.h and netinet6/nd6.h.
const (
	siocAIFAddrIn6 = 0x8080691a // _IOW('i', 26, struct in6_aliasreq)
	siocDIFAddrIn6 = 0x81206919 // _IOW('i', 25, struct in6_ifreq)
	in6IffNoDAD    = 0x0020
	in6IffSecured  = 0x0400
	nd6Infinite    = 0xffffffff
)

type ifreqFlags struct {
	name  [unix.IFNAMSIZ]byte
	flags uint16
	_     [14]byte
}

type ifreqAddr struct {
	name [unix.IFNAMSIZ]byte
	addr unix.RawSockaddrInet4
}

// ifAliasReq is struct ifaliasreq of net/if.h.
type ifAliasReq struct {
	name            [unix.IFNAMSIZ]byte
	addr, dst, mask unix.RawSockaddrInet4
}

// in6AliasReq is struct in6_aliasreq; its times are seconds.
type in6AliasReq struct {
	name              [unix.IFNAMSIZ]byte
	addr, dst, mask   unix.RawSockaddrInet6
	flags             int32
	expire, preferred int64
	valid, prefer     uint32
}

// in6Ifreq is struct in6_ifreq, whose union is as large as its largest part.
type in6Ifreq struct {
	name [unix.IFNAMSIZ]byte
	addr unix.RawSockaddrInet6
	_    [272 - unix.SizeofSockaddrInet6]byte
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return gone(errno)
	}
	return nil
}

func sockaddr4(a netip.Addr) unix.RawSockaddrInet4 {
	return unix.RawSockaddrInet4{Len: unix.SizeofSockaddrInet4, Family: unix.AF_INET, Addr: a.As4()}
}

func sockaddr6(a netip.Addr) unix.RawSockaddrInet6 {
	return unix.RawSockaddrInet6{Len: unix.SizeofSockaddrInet6, Family: unix.AF_INET6, Addr: a.As16()}
}

func mask(p netip.Prefix) netip.Addr {
	a, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen()))
	return a
}

func (k *darwin) setFlags(set, clear uint16) error {
	var req ifreqFlags
	copy(req.name[:], k.name)
	if err := ioctl(k.sock4, unix.SIOCGIFFLAGS, unsafe.Pointer(&req)); err != nil {
		return err
	}
	req.flags = req.flags&^clear | set
	return ioctl(k.sock4, unix.SIOCSIFFLAGS, unsafe.Pointer(&req))
}

func (k *darwin) addAddr(p netip.Prefix) error {
	if p.Addr().Is4() {
		// A point-to-point interface wants a far end: itself.
		req := ifAliasReq{addr: sockaddr4(p.Addr()), dst: sockaddr4(p.Addr()), mask: sockaddr4(mask(p))}
		copy(req.name[:], k.name)
		return ioctl(k.sock4, unix.SIOCAIFADDR, unsafe.Pointer(&req))
	}
	if k.sock6 < 0 {
		return fmt.Errorf("%w: no socket", errNo6)
	}
	req := in6AliasReq{
		addr: sockaddr6(p.Addr()), mask: sockaddr6(mask(p)),
		flags: in6IffNoDAD | in6IffSecured, valid: nd6Infinite, prefer: nd6Infinite,
	}
	copy(req.name[:], k.name)
	return ioctl(k.sock6, siocAIFAddrIn6, unsafe.Pointer(&req))
}

func (k *darwin) delAddr(p netip.Prefix) error {
	if p.Addr().Is4() {
		req := ifreqAddr{addr: sockaddr4(p.Addr())}
		copy(req.name[:], k.name)
		return ioctl(k.sock4, unix.SIOCDIFADDR, unsafe.Pointer(&req))
	}
	if k.sock6 < 0 {
		return nil
	}
	req := in6Ifreq{addr: sockaddr6(p.Addr())}
	copy(req.name[:], k.name)
	return ioctl(k.sock6, siocDIFAddrIn6, unsafe.Pointer(&req))
}
