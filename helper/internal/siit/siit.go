// Package siit translates between IPv4 and IPv6 headers without a state (RFC
// 7915), so that IPv4 reaches through a tunnel that carries IPv6 alone: a guest
// has one IPv6 address in a friend's network, and each end maps it to an IPv4
// address of its own choice (RFC 7757). What has no such mapping stands behind
// Prefix (RFC 6052). Device does it in the path of a TUN; the rest is pure. It
// imports of ours package tunnel alone, for what is said of packets too large.
package siit

import (
	"encoding/binary"
	"net/netip"
)

// Prefix holds the IPv4 addresses that are not mapped one by one: a part of what
// RFC 8215 leaves to local use. It is never seen outside the tunnel.
var Prefix = netip.MustParsePrefix("64:ff9b:1::/96")

// Pair is one IPv4 address and what stands for it in the tunnel.
type Pair struct {
	Four, Six netip.Addr
}

// Table is the mappings of one end, immutable.
type Table struct {
	six  map[netip.Addr]netip.Addr // by IPv4
	four map[netip.Addr]netip.Addr // by IPv6
}

// NewTable makes one; of two pairs with one address the first counts.
func NewTable(pairs []Pair) *Table {
	t := &Table{six: map[netip.Addr]netip.Addr{}, four: map[netip.Addr]netip.Addr{}}
	for _, p := range pairs {
		_, a := t.six[p.Four]
		_, b := t.four[p.Six]
		if p.Four.Is4() && p.Six.Is6() && !a && !b {
			t.six[p.Four], t.four[p.Six] = p.Six, p.Four
		}
	}
	return t
}

// Embed is an IPv4 address behind Prefix.
func Embed(a netip.Addr) netip.Addr {
	out, four := Prefix.Addr().As16(), a.As4()
	copy(out[12:], four[:])
	return netip.AddrFrom16(out)
}

func (t *Table) to6(a [4]byte) [16]byte {
	if six, ok := t.six[netip.AddrFrom4(a)]; ok {
		return six.As16()
	}
	return Embed(netip.AddrFrom4(a)).As16()
}

// to4 fails for what neither has a mapping nor is behind Prefix, and for who
// would speak for an address that is mapped to another.
func (t *Table) to4(b [16]byte) (out [4]byte, ok bool) {
	a := netip.AddrFrom16(b)
	if four, ok := t.four[a]; ok {
		return four.As4(), true
	}
	copy(out[:], b[12:])
	_, taken := t.six[netip.AddrFrom4(out)]
	return out, Prefix.Contains(a) && !taken
}

// maps4 tells whether an IPv4 packet is to be translated: one of its ends is
// mapped.
func (t *Table) maps4(p []byte) bool {
	_, src := t.six[netip.AddrFrom4([4]byte(p[12:16]))]
	_, dst := t.six[netip.AddrFrom4([4]byte(p[16:20]))]
	return src || dst
}

// behind tells whether an IPv6 packet is one that was translated.
func behind(p []byte) bool {
	return Prefix.Contains(netip.AddrFrom16([16]byte(p[8:24]))) || Prefix.Contains(netip.AddrFrom16([16]byte(p[24:40])))
}

const (
	tcp    = 6
	udp    = 17
	icmp4  = 1
	icmp6  = 58
	fragID = 44 // the IPv6 fragment header

	head4    = 20
	head6    = 40
	headFrag = 8
)

// sum adds the words of b, of even length but at the end, to a one's complement
// sum (RFC 1071).
func sum(to uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		to += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		to += uint32(b[0]) << 8
	}
	return fold(to)
}

func fold(s uint32) uint32 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return s
}

// mend turns a checksum over what had the sum was into one over what has the sum
// is (RFC 1624 §3): what was wrong before stays wrong.
func mend(check []byte, was, is uint32) {
	s := fold(uint32(^binary.BigEndian.Uint16(check)) + uint32(^uint16(fold(was))) + is)
	binary.BigEndian.PutUint16(check, ^uint16(s))
}

// mendTransport mends the checksum of a TCP or UDP header whose pseudo-header was
// changed, as far as it is there. It tells whether the segment can stay: UDP with
// no checksum cannot.
func mendTransport(proto byte, seg []byte, was, is uint32) bool {
	switch proto {
	case tcp:
		if len(seg) >= 18 {
			mend(seg[16:18], was, is)
		}
	case udp:
		if len(seg) < 8 {
			return true
		}
		if seg[6] == 0 && seg[7] == 0 {
			return false
		}
		if mend(seg[6:8], was, is); seg[6] == 0 && seg[7] == 0 {
			seg[6], seg[7] = 0xff, 0xff
		}
	}
	return true
}
