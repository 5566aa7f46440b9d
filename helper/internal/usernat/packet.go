package usernat

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers (IANA).
const (
	protoICMP4    = 1
	protoTCP      = 6
	protoUDP      = 17
	protoFragment = 44
	protoICMP6    = 58
)

// head is what of a packet decides where it goes.
type head struct {
	src, dst netip.Addr
	size     int    // bytes, without what may follow
	echo     bool   // an echo request, whole
	payload  []byte // of ICMP
	drop     bool   // the stack must not see it: it would answer, or believe it
}

// parse reads a packet's addresses and kind (RFC 791, RFC 8200); false: it is
// none. IPv6 extension headers other than a first fragment header are dropped.
func parse(p []byte) (h head, ok bool) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		n := int(p[0]&15) * 4
		total := int(binary.BigEndian.Uint16(p[2:]))
		if n < 20 || total < n || total > len(p) {
			return h, false
		}
		h.size = total
		h.src, h.dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
		fragment := binary.BigEndian.Uint16(p[6:])&0x3fff != 0
		return h.kind(p[9], p[n:total], fragment), true
	case len(p) >= 40 && p[0]>>4 == 6:
		total := 40 + int(binary.BigEndian.Uint16(p[4:]))
		if total > len(p) {
			return h, false
		}
		h.size = total
		h.src, h.dst = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		if p[6] == protoFragment {
			if total < 48 {
				return h, false
			}
			return h.kind(p[40], p[48:total], true), true
		}
		return h.kind(p[6], p[40:total], false), true
	}
	return h, false
}

func (h head) kind(proto byte, rest []byte, fragment bool) head {
	switch {
	case proto == protoTCP, proto == protoUDP:
		return h
	case fragment, len(rest) < 8:
		h.drop = true
	case h.dst.Is4() && proto == protoICMP4:
		h.echo = rest[0] == 8 && rest[1] == 0
		h.drop = !h.echo && rest[0] != 3 // of errors the stack hears that a path is narrow
		h.payload = rest
	case h.dst.Is6() && proto == protoICMP6:
		h.echo = rest[0] == 128 && rest[1] == 0
		h.drop = !h.echo && (rest[0] < 1 || rest[0] > 4)
		h.payload = rest
	default:
		h.drop = true
	}
	return h
}
