package portmap

import (
	"net/netip"
	"slices"
	"strconv"

	"kith.internal/helper/internal/osnet/netmon"
)

const (
	maxGateways = 4 // of a family
	maxLocal6   = 3 // addresses of an interface: each wants a hole of its own
)

// place is a gateway as one address of ours asks it. Neither has a zone.
type place struct {
	index          int // of the interface
	gateway, local netip.Addr
}

// uplink is a place and what it is like there.
type uplink struct {
	place
	name string         // of the interface
	lan  []netip.Prefix // of the interface
}

// at is a port of the gateway.
func (p place) at(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(zoned(p.gateway, p.index), port)
}

func zoned(a netip.Addr, index int) netip.Addr {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return a.WithZone(strconv.Itoa(index))
	}
	return a
}

// places finds the gateways, and our addresses that they serve: in IPv4 the one
// that has the gateway on its link, in IPv6 each public one, as a firewall's
// hole is for one.
func places(interfaces []netmon.Interface, routes []netmon.Route) (out []uplink) {
	count := map[bool]int{}
	for _, g := range netmon.Gateways(interfaces, routes) {
		n := slices.IndexFunc(interfaces, func(i netmon.Interface) bool { return i.Index == g.Index })
		four := g.Addr.Is4()
		if n < 0 || count[four] >= maxGateways || !usable(g.Addr) {
			continue
		}
		count[four]++
		i := interfaces[n]
		locals := locals6(i.Prefixes)
		if four {
			locals = local4(i.Prefixes, g.Addr)
		}
		for _, l := range locals {
			if l != g.Addr && len(out) < maxSessions {
				out = append(out, uplink{place{g.Index, g.Addr, l}, i.Name, i.Prefixes})
			}
		}
	}
	return out
}

func local4(prefixes []netip.Prefix, gateway netip.Addr) []netip.Addr {
	var first []netip.Addr
	for _, p := range prefixes {
		switch {
		case !p.Addr().Is4() || !usable(p.Addr()):
		case p.Contains(gateway):
			return []netip.Addr{p.Addr()}
		case first == nil:
			first = []netip.Addr{p.Addr()}
		}
	}
	return first
}

func locals6(prefixes []netip.Prefix) (out []netip.Addr) {
	for _, p := range prefixes {
		if a := p.Addr(); a.Is6() && isPublic(a) && len(out) < maxLocal6 {
			out = append(out, a)
		}
	}
	return out
}

// usable tells whether an address can be one host's.
func usable(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !(a.Is4() && (a.As4()[0] >= 240 || a.As4()[0] == 0))
}

// shared is RFC 6598's range for carriers' NATs.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// isPublic tells whether an address is reached from everywhere, as far as its
// range tells.
func isPublic(a netip.Addr) bool {
	return usable(a) && !a.IsPrivate() && !a.IsLinkLocalUnicast() && !shared.Contains(a)
}

// plausible tells why external cannot be an outside address of ours, nil if it
// can.
func (u uplink) plausible(external netip.AddrPort) error {
	a := external.Addr()
	switch {
	case external.Port() == 0 || !usable(a) || a.IsLinkLocalUnicast():
		return &implausible{external, "is no address of a host"}
	case a.Is4() != u.local.Is4():
		return &implausible{external, "is of the other family"}
	case a == u.local:
		return nil // a firewall without NAT
	case a == u.gateway:
		return &implausible{external, "is the gateway's on our own link"}
	case slices.ContainsFunc(u.lan, func(p netip.Prefix) bool { return a.Is4() && p.Contains(a) }):
		return &implausible{external, "is on our own link"}
	}
	return nil
}

type implausible struct {
	addr netip.AddrPort
	why  string
}

func (e *implausible) Error() string { return "outside address " + e.addr.String() + " " + e.why }
