package udp

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is the kernel's struct mmsghdr: recvmmsg(2), sendmmsg(2).
type message struct {
	hdr unix.Msghdr
	n   uint32
}

// name is room for a socket address of either family.
type name = unix.RawSockaddrInet6

// controlSpace is room for an IPV6_PKTINFO and a UDP_SEGMENT or UDP_GRO.
const controlSpace = 80

// control is a message's ancillary data, aligned as the kernel wants it.
type control struct {
	_ [0]uint64
	b [controlSpace]byte
}

// setName writes the address into n and returns its size.
func setName(n *name, to netip.AddrPort) uint32 {
	if to.Addr().Is4() {
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		*n4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swapped(to.Port()), Addr: to.Addr().As4()}
		return unix.SizeofSockaddrInet4
	}
	*n = name{Family: unix.AF_INET6, Port: swapped(to.Port()), Addr: to.Addr().As16(), Scope_id: uint32(Index(to.Addr()))}
	return unix.SizeofSockaddrInet6
}

// swapped is p in network order as the machine reads it.
func swapped(p uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], p)
	return binary.NativeEndian.Uint16(b[:])
}

// zones makes link-local addresses without an allocation each.
type zones map[uint32]string

func (z zones) with(a netip.Addr, index uint32) netip.Addr {
	s, ok := z[index]
	if !ok {
		s = strconv.Itoa(int(index))
		z[index] = s
	}
	return a.WithZone(s)
}

// address reads a socket address that the kernel wrote.
func (z zones) address(n *name) netip.AddrPort {
	if n.Family == unix.AF_INET {
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		return netip.AddrPortFrom(netip.AddrFrom4(n4.Addr), swapped(n4.Port))
	}
	a := netip.AddrFrom16(n.Addr)
	if n.Scope_id != 0 {
		a = z.with(a, n.Scope_id)
	}
	return netip.AddrPortFrom(a, swapped(n.Port))
}

// put appends one control message of level and kind with room for size bytes
// of data, which it returns, and the rest of b.
func put(b []byte, level, kind int32, size int) (data, rest []byte) {
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(size))
	return b[unix.CmsgLen(0):unix.CmsgLen(size)], b[unix.CmsgSpace(size):]
}

// putSource appends PKTINFO (ip(7), RFC 3542 §6.1) for src.
func putSource(b []byte, src Source) (rest []byte) {
	if src.Addr.Is4() {
		data, rest := put(b, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
		*(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet4Pktinfo{Ifindex: int32(src.Index), Spec_dst: src.Addr.As4()}
		return rest
	}
	data, rest := put(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	*(*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])) = unix.Inet6Pktinfo{Ifindex: uint32(src.Index), Addr: src.Addr.As16()}
	return rest
}

// putSegment appends UDP_SEGMENT: udp(7).
func putSegment(b []byte, size int) (rest []byte) {
	data, rest := put(b, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(data, uint16(size))
	return rest
}

// parseControl reads where a message came in and, if the kernel coalesced it,
// the size of its segments.
func parseControl(b []byte) (src Source, segment int) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len)
		if size < unix.CmsgLen(0) || size > len(b) {
			break
		}
		data := b[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			src = Source{netip.AddrFrom4(info.Spec_dst), int(info.Ifindex)}
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			src = Source{netip.AddrFrom16(info.Addr), int(info.Ifindex)}
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			segment = int(binary.NativeEndian.Uint32(data))
		}
		b = b[min(len(b), unix.CmsgSpace(len(data))):]
	}
	return src, segment
}
