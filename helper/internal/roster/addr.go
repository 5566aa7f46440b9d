package roster

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"net/netip"

	"kith.internal/helper/internal/key"
)

// Prefix6 is a network's /48: fd and 40 bits of the hash of its ID (RFC 4193 §3.1).
func Prefix6(network ID) netip.Prefix {
	h := sha256.Sum256(network[:])
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:6], h[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), 48)
}

// Addr6 is a device's address: the network's prefix and 80 bits of the hash of
// its key, so that it proves its owner.
func Addr6(network ID, device key.Public) netip.Addr { return addr6(Prefix6(network), device) }

func addr6(prefix netip.Prefix, device key.Public) netip.Addr {
	a := prefix.Addr().As16()
	h := sha256.Sum256(device[:])
	copy(a[6:], h[:10])
	return netip.AddrFrom16(a)
}

// Range4 is the network's /16 of 100.64.0.0/10 (RFC 6598). Two are left out:
// the first, which providers use most, and 100.100.0.0/16, where other VPNs
// and clouds keep their resolvers.
func Range4(network ID) netip.Prefix {
	h := sha256.Sum256(append([]byte("kith/roster/range4/1\x00"), network[:]...))
	n := byte(65 + binary.BigEndian.Uint64(h[:])%62)
	if n >= 100 {
		n++
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, n, 0, 0}), 16)
}

// Addr4 is the address with an index in Range4; none for index 0.
func Addr4(network ID, index uint16) netip.Addr { return addr4(Range4(network), index) }

func addr4(r netip.Prefix, index uint16) netip.Addr {
	if index == 0 || index == 1<<16-1 {
		return netip.Addr{}
	}
	a := r.Addr().As4()
	binary.BigEndian.PutUint16(a[2:], index)
	return netip.AddrFrom4(a)
}

// SamePrefix tells whether two networks share a /48, be it that one was ground
// to: a device refuses the second.
func SamePrefix(a, b ID) bool { return a != b && Prefix6(a) == Prefix6(b) }

var digits = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// keyHash is the hash of a key in 52 base32 digits, for names' suffixes.
func keyHash(k key.Public) string {
	h := sha256.Sum256(k[:])
	return digits.EncodeToString(h[:])
}

// firstIndex is where the search for a device's IPv4 index begins.
func firstIndex(device key.Public) uint16 {
	h := sha256.Sum256(append([]byte("kith/roster/index4/1\x00"), device[:]...))
	return uint16(1 + binary.BigEndian.Uint64(h[:])%maxIndex)
}

// maxIndex is the highest IPv4 index: neither the range's own address nor its last.
const maxIndex = 1<<16 - 2
