package siit

import "encoding/binary"

// Six appends the IPv6 packet for an IPv4 one to out (RFC 7915 §4), nil where
// there is none: a source route, a fragment of ICMP, what is damaged. Hop limits
// are kept: either end is the host itself.
func (t *Table) Six(out, p []byte) []byte { return t.six4(out, p, true) }

// six4 is Six; of an error's quotation (whole is false) part may be missing.
func (t *Table) six4(out, p []byte, whole bool) []byte {
	if len(p) < head4 || p[0]>>4 != 4 {
		return nil
	}
	ihl, total := int(p[0]&15)*4, int(binary.BigEndian.Uint16(p[2:]))
	if ihl < head4 || len(p) < ihl || total < ihl || whole && len(p) < total || sourceRouted(p[head4:ihl]) {
		return nil
	}
	p = p[:min(len(p), total)]
	frag := binary.BigEndian.Uint16(p[6:])
	offset, cut := frag&0x1fff, frag&0x3fff != 0 // an offset, or more to come
	proto := p[9]
	if proto == icmp4 && cut {
		return nil
	}
	src, dst := t.to6([4]byte(p[12:16])), t.to6([4]byte(p[16:20]))
	was, is := sum(0, p[12:20]), sum(sum(0, src[:]), dst[:])

	size := total - ihl
	next := proto
	if proto == icmp4 {
		next = icmp6
	}
	at := len(out)
	var h [head6 + headFrag]byte
	h[0], h[1] = 6<<4|p[1]>>4, p[1]<<4
	h[6], h[7] = next, p[8]
	copy(h[8:], src[:])
	copy(h[24:], dst[:])
	n := head6
	if cut {
		n += headFrag
		size += headFrag
		h[6], h[40] = fragID, next
		more := frag >> 13 & 1
		binary.BigEndian.PutUint16(h[42:], offset<<3|more)
		copy(h[46:], p[4:6])
	}
	binary.BigEndian.PutUint16(h[4:], uint16(size))
	out = append(out, h[:n]...)
	body := len(out)
	if proto == icmp4 {
		if out = t.icmp6(out, p[ihl:], src, dst, whole); out == nil {
			return nil
		}
		if whole { // a quotation may have become longer
			binary.BigEndian.PutUint16(out[at+4:], uint16(len(out)-body))
		}
		return out
	}
	out = append(out, p[ihl:]...)
	if offset == 0 {
		if seg := out[body:]; proto == udp && whole && !cut && len(seg) >= 8 && seg[6] == 0 && seg[7] == 0 {
			if int(binary.BigEndian.Uint16(seg[4:])) != len(seg) {
				return nil
			}
			sealUDP(seg, is)
		} else if !mendTransport(proto, seg, was, is) && whole {
			return nil
		}
	}
	return out
}

// sealUDP gives a datagram the checksum that IPv6 wants (RFC 7915 §4.5).
func sealUDP(seg []byte, addrs uint32) {
	s := ^uint16(sum(fold(addrs+udp+uint32(len(seg))), seg))
	if s == 0 {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(seg[6:], s)
}

// sourceRouted tells whether options hold a source route that is not at its end
// (RFC 7915 §4.1), or cannot be read.
func sourceRouted(opts []byte) bool {
	for i := 0; i < len(opts); {
		switch opts[i] {
		case 0:
			return false
		case 1:
			i++
			continue
		}
		if i+2 > len(opts) || opts[i+1] < 2 || i+int(opts[i+1]) > len(opts) {
			return true
		}
		if (opts[i] == 131 || opts[i] == 137) && opts[i+1] > 2 && opts[i+2] <= opts[i+1] {
			return true
		}
		i += int(opts[i+1])
	}
	return false
}

// icmp6 appends the ICMPv6 message for an ICMPv4 one (RFC 7915 §4.2, 4.3).
func (t *Table) icmp6(out, m []byte, src, dst [16]byte, whole bool) []byte {
	if len(m) < 8 {
		return nil
	}
	var h [8]byte
	copy(h[:], m)
	if m[0] == 8 || m[0] == 0 {
		h[0] = 128
		if m[0] == 0 {
			h[0] = 129
		}
		is := fold(sum(sum(0, src[:]), dst[:]) + uint32(len(m)) + icmp6 + uint32(h[0])<<8)
		mend(h[2:4], uint32(m[0])<<8, is)
		return append(append(out, h[:]...), m[8:]...)
	}
	if !whole || !error6(&h, m) { // no error about an error
		return nil
	}
	at := len(out)
	out = t.six4(append(out, h[:]...), m[8:], false)
	if out == nil {
		return nil
	}
	out = out[:min(len(out), at+1280-head6)]
	seal6(out[at:], src, dst)
	return out
}

// seal6 computes the checksum of an ICMPv6 message.
func seal6(m []byte, src, dst [16]byte) {
	m[2], m[3] = 0, 0
	s := sum(fold(sum(sum(0, src[:]), dst[:])+uint32(len(m))+icmp6), m)
	binary.BigEndian.PutUint16(m[2:], ^uint16(s))
}

// error6 turns the first words of an ICMPv4 error; false for one that IPv6 has
// no word for.
func error6(h *[8]byte, m []byte) bool {
	*h = [8]byte{}
	switch kind, code := m[0], m[1]; kind {
	case 3:
		h[0] = 1
		switch code {
		case 0, 1, 5, 6, 7, 8, 11, 12:
		case 2: // the protocol is not known
			h[0], h[1] = 4, 1
			h[7] = 6 // where the next header stands
		case 3:
			h[1] = 4
		case 4:
			h[0] = 2
			mtu := int(binary.BigEndian.Uint16(m[6:])) + head6 - head4
			binary.BigEndian.PutUint32(h[4:], uint32(max(mtu, 1280)))
		case 9, 10, 13, 15:
			h[1] = 1
		default:
			return false
		}
	case 11:
		h[0], h[1] = 3, code
	case 12:
		at, ok := map[byte]byte{0: 0, 1: 1, 2: 4, 3: 4, 8: 7, 9: 6, 12: 8, 13: 8, 14: 8, 15: 8, 16: 24, 17: 24, 18: 24, 19: 24}[m[4]]
		if !ok || code != 0 && code != 2 {
			return false
		}
		h[0], h[7] = 4, at
	default:
		return false
	}
	return true
}
