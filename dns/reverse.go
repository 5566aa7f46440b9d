package dns

import (
	"net/netip"
	"strconv"
	"strings"
)

// reverseName is a name below in-addr.arpa or ip6.arpa: the address bits its
// labels spell, and whether labels that are no address stand before them.
type reverseName struct {
	addr  netip.Addr
	bits  int
	extra bool
}

// parse4 reads "4.3.2.1" as 1.2.3.4 (RFC 1035 §3.5).
func parse4(s string) reverseName {
	var b [4]byte
	n := 0
	for s != "" && n < len(b) {
		label := s
		i := strings.LastIndexByte(s, '.')
		if i >= 0 {
			label, s = s[i+1:], s[:i]
		} else {
			s = ""
		}
		v, ok := octet(label)
		if !ok {
			return reverseName{netip.AddrFrom4(b), 8 * n, true}
		}
		b[n] = v
		n++
	}
	return reverseName{netip.AddrFrom4(b), 8 * n, s != ""}
}

func octet(s string) (byte, bool) {
	if s == "" || len(s) > 3 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	v := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		v = 10*v + int(s[i]-'0')
	}
	return byte(v), v < 256
}

// parse6 reads nibbles, the last first (RFC 3596 §2.5).
func parse6(s string) reverseName {
	var b [16]byte
	n := 0
	for s != "" && n < 2*len(b) {
		label := s
		i := strings.LastIndexByte(s, '.')
		if i >= 0 {
			label, s = s[i+1:], s[:i]
		} else {
			s = ""
		}
		v, ok := nibble(label)
		if !ok {
			return reverseName{netip.AddrFrom16(b), 4 * n, true}
		}
		b[n/2] |= v << (4 * (1 - n%2))
		n++
	}
	return reverseName{netip.AddrFrom16(b), 4 * n, s != ""}
}

func nibble(s string) (byte, bool) {
	if len(s) != 1 {
		return 0, false
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// ReverseName is the name under which a's PTR record stands, with trailing dot.
func ReverseName(a netip.Addr) string {
	a = a.Unmap()
	return reverseString(a, a.BitLen())
}

// reverseString spells the first bits of a; bits is a multiple of a label's.
func reverseString(a netip.Addr, bits int) string {
	const hex = "0123456789abcdef"
	var out []byte
	if a.Is4() {
		b := a.As4()
		for i := bits/8 - 1; i >= 0; i-- {
			out = append(strconv.AppendUint(out, uint64(b[i]), 10), '.')
		}
		return string(out) + arpa4[1:]
	}
	b := a.As16()
	for i := bits/4 - 1; i >= 0; i-- {
		out = append(out, hex[b[i/2]>>(4*(1-i%2))&15], '.')
	}
	return string(out) + arpa6[1:]
}

func labelBits(a netip.Addr) int {
	if a.Is4() {
		return 8
	}
	return 4
}

// roundUp is p's length in whole labels: where a label holds bits of several
// prefixes, the zones are cut below it.
func roundUp(p netip.Prefix) int {
	n := labelBits(p.Addr())
	return (p.Bits() + n - 1) / n * n
}

// reverseOrigins are the apexes of p's reverse zones: one if p ends between
// labels, else one for each value of the label it ends in.
func reverseOrigins(p netip.Prefix) []string {
	bits := roundUp(p)
	var out []string
	for a := p.Addr(); p.Contains(a); {
		out = append(out, reverseString(a, bits))
		b := a.AsSlice()
		i := (bits - 1) / 8
		was := b[i]
		if b[i] += 1 << (8*(i+1) - bits); b[i] <= was {
			break // the label's last value
		}
		a, _ = netip.AddrFromSlice(b)
	}
	return out
}
