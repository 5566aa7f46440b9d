package filter

import (
	"encoding/binary"
	"net/netip"
)

const (
	header4  = 20
	header6  = 40
	tcpFIN   = 0x01
	tcpSYN   = 0x02
	tcpRST   = 0x04
	tcpACK   = 0x10
	extsMost = 8 // IPv6 extension headers in one packet
)

// kind is what a packet does with a flow.
type kind uint8

const (
	kindData  kind = iota // may begin one or go on with it
	kindBegin             // begins one: a TCP SYN, an echo request
	kindGo                // goes on with one and begins none: an echo reply
	kindLater             // a TCP segment that is not the first
	kindError             // an ICMP error about the packet in about
	kindNever             // passes in no flow: a redirect, a router's word
)

// packet is what is looked at of one.
type packet struct {
	ends
	src, dst     netip.Addr
	proto        uint8
	sport, dport uint16 // an echo's identifier is both
	flags        uint8  // TCP's
	kind         kind
	frag         frag
	about        tuple
}

// ends is the words of both addresses, as in a flowKey.
type ends struct{ srcHi, srcLo, dstHi, dstLo uint64 }

// tuple is a packet's ends.
type tuple struct {
	ends
	src, dst     netip.Addr
	proto        uint8
	sport, dport uint16
	kind         kind
}

// frag is which part of a datagram a packet is; the zero value is all of it.
type frag struct {
	is    bool
	first bool
	more  bool
	id    uint32
	at    int // bytes
	size  int
}

// parse reads a packet; false for what is malformed, or built to mislead.
func parse(b []byte, p *packet) bool {
	if len(b) < header4 {
		return false
	}
	switch b[0] >> 4 {
	case 4:
		return parse4(b, p)
	case 6:
		return parse6(b, p)
	}
	return false
}

// parse4 reads IPv4 (RFC 791).
func parse4(b []byte, p *packet) bool {
	ihl, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if ihl < header4 || total < ihl || total > len(b) || b[8] == 0 {
		return false
	}
	if ihl > header4 && sourceRouted(b[header4:ihl]) {
		return false
	}
	p.src, p.dst, p.ends = addrs4(b)
	p.proto = b[9]
	off := binary.BigEndian.Uint16(b[6:])
	at, more := int(off&0x1fff)*8, off&0x2000 != 0
	p.frag = frag{}
	if at != 0 || more {
		p.frag = frag{is: true, first: at == 0, more: more, id: uint32(binary.BigEndian.Uint16(b[4:])), at: at, size: total - ihl}
		if !p.frag.sound(p.proto) {
			return false
		}
		if at != 0 {
			p.sport, p.dport, p.flags, p.kind = 0, 0, 0, kindData
			return true
		}
	}
	if p.proto == ICMPv6 {
		return false
	}
	return p.transport(b[ihl:total])
}

// addrs4 reads the addresses of IPv4.
func addrs4(b []byte) (src, dst netip.Addr, e ends) {
	_ = b[19]
	e.srcLo, e.dstLo = mapped|uint64(binary.BigEndian.Uint32(b[12:])), mapped|uint64(binary.BigEndian.Uint32(b[16:]))
	return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), e
}

// addrs6 reads those of IPv6.
func addrs6(b []byte) (src, dst netip.Addr, e ends) {
	_ = b[39]
	e.srcHi, e.srcLo = binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint64(b[16:])
	e.dstHi, e.dstLo = binary.BigEndian.Uint64(b[24:]), binary.BigEndian.Uint64(b[32:])
	return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), e
}

// sourceRouted tells whether options choose the way (RFC 7126 §4.3, §4.4), or
// are malformed.
func sourceRouted(o []byte) bool {
	for len(o) > 0 {
		switch o[0] {
		case 0:
			return false
		case 1:
			o = o[1:]
			continue
		case 131, 137:
			return true
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			return true
		}
		o = o[o[1]:]
	}
	return false
}

// sound refuses fragments that nobody sends but to mislead (RFC 1858, RFC 3128):
// a first one without the transport's header, one that is no multiple of eight
// bytes and not the last, one past the longest packet.
func (f *frag) sound(proto uint8) bool {
	least := 8
	if proto == TCP {
		least = 20
	}
	switch {
	case f.size == 0, f.more && f.size%8 != 0, f.at+f.size > 1<<16-1:
		return false
	case f.first:
		return f.size >= least
	}
	return f.at >= least // else it would overlap that header
}

// Next headers of IPv6 that are looked behind (RFC 8200 §4).
const (
	extHop   = 0
	extRoute = 43
	extFrag  = 44
	extAuth  = 51
	extDest  = 60
)

// parse6 reads IPv6 (RFC 8200) and walks its extension headers.
func parse6(b []byte, p *packet) bool {
	if len(b) < header6 || b[7] == 0 {
		return false
	}
	end := header6 + int(binary.BigEndian.Uint16(b[4:]))
	if end > len(b) {
		return false
	}
	p.src, p.dst, p.ends = addrs6(b)
	if p.src.Is4In6() || p.dst.Is4In6() {
		return false
	}
	p.frag = frag{}
	next, rest := b[6], b[header6:end]
	for n := 0; ; n++ {
		size := 0
		switch next {
		case extHop, extDest, extRoute:
			if next == extHop && n > 0 || len(rest) < 8 || n >= extsMost {
				return false
			}
			size = 8 + 8*int(rest[1])
			if next == extRoute && rest[3] != 0 { // segments left: it chooses the way
				return false
			}
		case extAuth:
			if len(rest) < 12 || n >= extsMost {
				return false
			}
			size = 8 + 4*int(rest[1])
		case extFrag:
			if len(rest) < 8 || p.frag.is || n >= extsMost {
				return false
			}
			off := binary.BigEndian.Uint16(rest[2:])
			at, more := int(off&^7), off&1 != 0
			if at != 0 || more {
				p.frag = frag{is: true, first: at == 0, more: more, id: binary.BigEndian.Uint32(rest[4:]), at: at, size: len(rest) - 8}
				if !p.frag.sound(rest[0]) {
					return false
				}
				if at != 0 {
					p.proto, p.sport, p.dport, p.flags, p.kind = rest[0], 0, 0, 0, kindData
					return true
				}
			}
			size = 8
		default:
			p.proto = next
			return next != ICMP && p.transport(rest)
		}
		if size > len(rest) {
			return false // a first fragment must hold the whole chain, too (RFC 7112)
		}
		next, rest = rest[0], rest[size:]
	}
}

// transport reads the ports.
func (p *packet) transport(b []byte) bool {
	p.sport, p.dport, p.flags, p.kind = 0, 0, 0, kindData
	switch p.proto {
	case TCP:
		if len(b) < 20 || int(b[12]>>4)*4 < 20 || !p.frag.is && int(b[12]>>4)*4 > len(b) {
			return false
		}
		p.sport, p.dport, p.flags = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[13]
		p.kind = kindLater
		if p.flags&(tcpSYN|tcpACK|tcpRST|tcpFIN) == tcpSYN {
			p.kind = kindBegin
		}
	case UDP:
		if len(b) < 8 {
			return false
		}
		p.sport, p.dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case ICMP, ICMPv6:
		if len(b) < 8 {
			return false
		}
		p.icmp(b)
	}
	return true
}

func (p *packet) icmp(b []byte) {
	p.kind = icmpKind(p.proto, b[0])
	switch p.kind {
	case kindBegin, kindGo:
		id := binary.BigEndian.Uint16(b[4:])
		p.sport, p.dport = id, id
	case kindError:
		if p.frag.is || !parseHead(b[8:], &p.about) {
			p.kind = kindNever
		}
	}
}

// icmpKind tells echoes and errors (RFC 792, RFC 4443) from what has no business
// in a tunnel between hosts: redirects, neighbours, routers.
func icmpKind(proto, t uint8) kind {
	if proto == ICMP {
		switch t {
		case 8, 13:
			return kindBegin
		case 0, 14:
			return kindGo
		case 3, 11, 12:
			return kindError
		}
		return kindNever
	}
	switch t {
	case 128:
		return kindBegin
	case 129:
		return kindGo
	case 1, 2, 3, 4:
		return kindError
	}
	return kindNever
}

// parseHead reads the head of a packet inside an error: of the transport's header
// the ports alone must be there.
func parseHead(b []byte, t *tuple) bool {
	var at int
	switch {
	case len(b) >= header4 && b[0]>>4 == 4:
		at = int(b[0]&15) * 4
		if at < header4 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return false
		}
		t.src, t.dst, t.ends = addrs4(b)
		t.proto = b[9]
	case len(b) >= header6 && b[0]>>4 == 6:
		t.src, t.dst, t.ends = addrs6(b)
		if t.proto, at = headExts(b); at == 0 {
			return false
		}
	default:
		return false
	}
	return t.ports(b, at)
}

// headExts walks the extension headers of a packet inside an error; 0 for one
// that cannot be followed.
func headExts(b []byte) (proto uint8, at int) {
	next, at := b[6], header6
	for range extsMost {
		if len(b) < at+8 {
			return next, 0
		}
		switch next {
		case extHop, extDest, extRoute:
			next, at = b[at], at+8+8*int(b[at+1])
		case extFrag:
			if binary.BigEndian.Uint16(b[at+2:])&^7 != 0 {
				return next, 0
			}
			next, at = b[at], at+8
		default:
			return next, at
		}
	}
	return next, 0
}

func (t *tuple) ports(b []byte, at int) bool {
	if len(b) < at+8 {
		return false
	}
	b = b[at:]
	t.sport, t.dport, t.kind = 0, 0, kindData
	switch t.proto {
	case TCP, UDP:
		t.sport, t.dport = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case ICMP, ICMPv6:
		if t.kind = icmpKind(t.proto, b[0]); t.kind != kindBegin && t.kind != kindGo {
			return false // no errors about errors
		}
		id := binary.BigEndian.Uint16(b[4:])
		t.sport, t.dport = id, id
	}
	return true
}
