package firewall

import (
	"bytes"
	"net/netip"
	"slices"

	"github.com/google/nftables/expr"
)

// truth is whether a condition holds for all packets that are judged.
type truth int

const (
	never truth = iota
	maybe
	always
)

func not(t truth) truth { return always - t }

// value is what a register holds for the packets that are judged: anything
// between lo and hi, big-endian, of one length. The zero value is unknown.
type value struct {
	lo, hi  []byte
	address bool // part of an IPv4 address
	exact   bool // to be compared for equality alone: not big-endian
}

func known(b []byte) value { return value{lo: b, hi: b} }

// addresses is all addresses of a prefix.
func addresses(p netip.Prefix) value {
	lo := p.Masked().Addr().As4()
	hi := lo
	for i := p.Bits(); i < 32; i++ {
		hi[i/8] |= 0x80 >> (i % 8)
	}
	return value{lo: lo[:], hi: hi[:], address: true}
}

// part is the first n bytes.
func (v value) part(n int) value {
	if n > len(v.lo) {
		return value{}
	}
	v.lo, v.hi = v.lo[:n], v.hi[:n]
	return v
}

// masked is v & mask ^ xor.
func (v value) masked(mask, xor []byte) value {
	n := len(v.lo)
	if len(mask) != n || len(xor) != n || n == 0 {
		return value{}
	}
	if !bytes.Equal(v.lo, v.hi) && (!leading(mask) || slices.Max(xor) != 0) {
		return value{} // the order of values is lost
	}
	and := func(b []byte) []byte {
		out := make([]byte, n)
		for i := range b {
			out[i] = b[i]&mask[i] ^ xor[i]
		}
		return out
	}
	v.lo, v.hi = and(v.lo), and(v.hi)
	return v
}

// leading tells whether all ones of a mask come first.
func leading(mask []byte) bool {
	ended := false
	for _, b := range mask {
		if ended && b != 0 || ^b&(^b+1) != 0 {
			return false
		}
		ended = ended || b != 0xff
	}
	return true
}

// within tells whether v lies between two bounds, included. nftables compares
// as many bytes as the bounds have.
func (v value) within(from, to []byte) truth {
	if len(from) != len(to) || len(from) == 0 || len(from) > len(v.lo) {
		return maybe
	}
	v = v.part(len(from))
	switch {
	case bytes.Compare(v.hi, from) < 0 || bytes.Compare(v.lo, to) > 0:
		return never
	case bytes.Compare(v.lo, from) >= 0 && bytes.Compare(v.hi, to) <= 0:
		return always
	}
	return maybe
}

func (v value) compare(op expr.CmpOp, data []byte) truth {
	lowest, highest := make([]byte, len(data)), bytes.Repeat([]byte{0xff}, len(data))
	switch op {
	case expr.CmpOpEq:
		return v.within(data, data)
	case expr.CmpOpNeq:
		return not(v.within(data, data))
	}
	if v.exact {
		return maybe
	}
	switch op {
	case expr.CmpOpLte:
		return v.within(lowest, data)
	case expr.CmpOpGt:
		return not(v.within(lowest, data))
	case expr.CmpOpGte:
		return v.within(data, highest)
	case expr.CmpOpLt:
		return not(v.within(data, highest))
	}
	return maybe
}

// interval is an element of a set: from the one to the other, included.
type interval struct{ from, to []byte }

// in tells whether v is in a set. nil is a set that could not be read.
func (v value) in(set []interval) truth {
	if set == nil || len(v.lo) == 0 {
		return maybe
	}
	all := never
	for _, i := range set {
		if len(i.from) != len(v.lo) {
			return maybe
		}
		t := v.within(i.from, i.to)
		if v.exact && !bytes.Equal(i.from, i.to) {
			t = maybe
		}
		all = max(all, t)
	}
	return all
}
