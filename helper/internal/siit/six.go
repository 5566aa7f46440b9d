package siit

import "encoding/binary"

// Four appends the IPv4 packet for an IPv6 one to out (RFC 7915 §5), nil where
// there is none: an address that stands for no IPv4 one, a routing header, a
// fragment of ICMP, what is damaged. id names what may be fragmented.
func (t *Table) Four(out, p []byte, id uint16) []byte { return t.four6(out, p, id, true) }

// upper is where the transport begins, and which it is, behind the extension
// headers that a translator leaves out (RFC 7915 §5.1).
type upper struct {
	at     int
	proto  byte
	frag   bool
	offset uint16 // of 8 bytes
	more   bool
	id     uint16
}

func findUpper(p []byte) (u upper, ok bool) {
	u.at, u.proto = head6, p[6]
	for {
		switch u.proto {
		case 0, 60, 43: // hop by hop, destination, routing
			if len(p) < u.at+8 || u.frag && u.offset > 0 {
				return u, false
			}
			n := 8 + 8*int(p[u.at+1])
			if u.proto == 43 && p[u.at+3] != 0 || len(p) < u.at+n {
				return u, false
			}
			u.proto, u.at = p[u.at], u.at+n
		case fragID:
			if len(p) < u.at+headFrag || u.frag {
				return u, false
			}
			w := binary.BigEndian.Uint16(p[u.at+2:])
			u.frag, u.offset, u.more = true, w>>3, w&1 == 1
			u.id = binary.BigEndian.Uint16(p[u.at+6:])
			u.proto, u.at = p[u.at], u.at+headFrag
		default:
			return u, true
		}
		if u.frag && u.offset > 0 {
			return u, true
		}
	}
}

func (t *Table) four6(out, p []byte, id uint16, whole bool) []byte {
	if len(p) < head6 || p[0]>>4 != 6 {
		return nil
	}
	total := head6 + int(binary.BigEndian.Uint16(p[4:]))
	if whole && len(p) < total {
		return nil
	}
	p = p[:min(len(p), total)]
	u, ok := findUpper(p)
	src, ok1 := t.to4([16]byte(p[8:24]))
	dst, ok2 := t.to4([16]byte(p[24:40]))
	if !ok || !ok1 || !ok2 || u.proto == icmp4 || u.proto == icmp6 && u.frag && (u.offset > 0 || u.more) {
		return nil
	}
	var h [head4]byte
	h[0], h[1] = 0x45, p[0]<<4|p[1]>>4
	h[8], h[9] = p[7], u.proto
	if u.proto == icmp6 {
		h[9] = icmp4
	}
	copy(h[12:], src[:])
	copy(h[16:], dst[:])
	size := total - u.at
	switch {
	case u.frag:
		word := u.offset
		if u.more {
			word |= 0x2000
		}
		binary.BigEndian.PutUint16(h[4:], u.id)
		binary.BigEndian.PutUint16(h[6:], word)
	case head4+size > 1260: // it came whole, as IPv6 does: DF
		h[6] = 0x40
	default:
		binary.BigEndian.PutUint16(h[4:], id)
	}
	at := len(out)
	out = append(out, h[:]...)
	if u.proto == icmp6 {
		out = t.icmp4(out, p[u.at:], [16]byte(p[8:24]), [16]byte(p[24:40]), whole)
		if out == nil {
			return nil
		}
		if whole {
			size = len(out) - at - head4
		}
	} else if out = append(out, p[u.at:]...); u.offset == 0 {
		was, is := sum(0, p[8:40]), sum(0, h[12:20])
		if !mendTransport(u.proto, out[at+head4:], was, is) && whole {
			return nil
		}
	}
	if head4+size > 0xffff {
		return nil
	}
	binary.BigEndian.PutUint16(out[at+2:], uint16(head4+size))
	binary.BigEndian.PutUint16(out[at+10:], ^uint16(sum(0, out[at:at+head4])))
	return out
}

// icmp4 appends the ICMPv4 message for an ICMPv6 one (RFC 7915 §5.2, 5.3).
func (t *Table) icmp4(out, m []byte, src, dst [16]byte, whole bool) []byte {
	if len(m) < 8 {
		return nil
	}
	var h [8]byte
	copy(h[:], m)
	if m[0] == 128 || m[0] == 129 {
		h[0] = 8
		if m[0] == 129 {
			h[0] = 0
		}
		was := fold(sum(sum(0, src[:]), dst[:]) + uint32(len(m)) + icmp6 + uint32(m[0])<<8)
		mend(h[2:4], was, uint32(h[0])<<8)
		return append(append(out, h[:]...), m[8:]...)
	}
	if !whole || !error4(&h, m) {
		return nil
	}
	at := len(out)
	out = t.four6(append(out, h[:]...), m[8:], 0, false)
	if out == nil {
		return nil
	}
	out[at+2], out[at+3] = 0, 0
	binary.BigEndian.PutUint16(out[at+2:], ^uint16(sum(0, out[at:])))
	return out
}

// error4 turns the first words of an ICMPv6 error; false for what IPv4 has no
// word for.
func error4(h *[8]byte, m []byte) bool {
	*h = [8]byte{}
	word := binary.BigEndian.Uint32(m[4:])
	switch kind, code := m[0], m[1]; kind {
	case 1:
		h[0] = 3
		switch code {
		case 0, 2, 3:
			h[1] = 1
		case 1:
			h[1] = 10
		case 4:
			h[1] = 3
		default:
			return false
		}
	case 2:
		h[0], h[1] = 3, 4
		binary.BigEndian.PutUint16(h[6:], uint16(min(max(word, 1280)-(head6-head4), 0xffff)))
	case 3:
		h[0], h[1] = 11, code
	case 4:
		at, ok := map[uint32]byte{0: 0, 1: 1, 4: 2, 5: 2, 6: 9, 7: 8, 8: 12, 24: 16}[word]
		switch {
		case code == 1:
			h[0], h[1] = 3, 2
		case code == 0 && ok:
			h[0], h[4] = 12, at
		default:
			return false
		}
	default:
		return false
	}
	return true
}
