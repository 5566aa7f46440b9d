// Package nat64 is the addresses by which a host that has IPv6 alone reaches
// IPv4, where its network translates (RFC 6146). It imports nothing of ours.
package nat64

import (
	"errors"
	"net/netip"
	"syscall"
)

// prefix is the well-known one (RFC 6052 §2.1).
var prefix = netip.MustParsePrefix("64:ff9b::/96")

// carrier is shared address space (RFC 6598).
var carrier = netip.MustParsePrefix("100.64.0.0/10")

// Embed is what stands for a public IPv4 address; others must not be behind the
// prefix (RFC 6052 §3.1), and are invalid.
func Embed(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if !a.Is4() || !a.IsGlobalUnicast() || a.IsPrivate() || carrier.Contains(a) {
		return netip.Addr{}
	}
	out, four := prefix.Addr().As16(), a.As4()
	copy(out[12:], four[:])
	return netip.AddrFrom16(out)
}

// Extract is the IPv4 address that one behind the prefix stands for, and any
// other as it is.
func Extract(a netip.Addr) netip.Addr {
	if !prefix.Contains(a) {
		return a
	}
	b := a.As16()
	four := netip.AddrFrom4([4]byte(b[12:]))
	if Embed(four) != a {
		return a
	}
	return four
}

// Lacking tells that the host has no way for IPv4: an error of sending to, or
// connecting to, an IPv4 address.
func Lacking(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, noRoute)
}
