package wire

import (
	"maps"
	"net/netip"
	"slices"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/wire/udp"
)

// local is what the host's interfaces mean for addresses. It is immutable.
type local struct {
	connected []netip.Prefix // of interfaces that are up, not our own TUNs
	own       []netip.Prefix // of our own TUNs: never an endpoint
	tuns      map[int]bool   // our own TUNs
	links     []int          // interfaces with IPv6 link-local addresses
	addrs     []netip.Addr   // ours, the most useful for peers first, no zones
	uplinks   []udp.Source   // one a family of each interface that may lead elsewhere
}

func newLocal(ifaces []netmon.Interface, own map[int]bool) *local {
	l := &local{tuns: maps.Clone(own)}
	var far []netip.Addr
	for _, i := range ifaces {
		for _, p := range i.Prefixes {
			ip := p.Addr().Unmap().WithZone("")
			switch {
			case own[i.Index]:
				if !ip.IsLinkLocalUnicast() {
					l.own = append(l.own, p.Masked())
				}
				continue
			case !i.Up:
				continue
			case ip.Is6() && ip.IsLinkLocalUnicast():
				if !slices.Contains(l.links, i.Index) && !i.Loopback {
					l.links = append(l.links, i.Index)
				}
			case !i.PointToPoint:
				l.connected = append(l.connected, p.Masked())
			}
			if !i.Loopback && !ip.IsLinkLocalUnicast() && l.uplink(i.Index, ip.Is4()) == nil {
				l.uplinks = append(l.uplinks, udp.Source{Addr: ip, Index: i.Index})
			}
			switch {
			case i.Loopback || ip.IsLoopback():
			case i.PointToPoint: // another VPN's, or a modem's
				far = append(far, ip)
			case !slices.Contains(l.addrs, ip):
				l.addrs = append(l.addrs, ip)
			}
		}
	}
	l.addrs = append(l.addrs, far...)
	return l
}

// kind is the class of paths to an address.
func (l *local) kind(a netip.Addr) PathKind {
	if a.IsLinkLocalUnicast() || contains(l.connected, a) {
		return LAN
	}
	return Direct
}

func (l *local) uplink(index int, is4 bool) *udp.Source {
	for i, s := range l.uplinks {
		if s.Index == index && s.Addr.Is4() == is4 {
			return &l.uplinks[i]
		}
	}
	return nil
}

// sources are what to send from to an address that is not on a link of ours,
// one for each uplink; none where there is but one, or none.
func (l *local) sources(to netip.Addr) (out []udp.Source) {
	if l.kind(to) == LAN {
		return nil
	}
	for _, s := range l.uplinks {
		if s.Addr.Is4() == to.Is4() && len(out) < maxUplinks {
			out = append(out, s)
		}
	}
	if len(out) < 2 {
		return nil
	}
	return out
}

// maxUplinks bounds what a host with many interfaces sends.
const maxUplinks = 4

// forbidden tells addresses that must never be an endpoint: those of our own
// TUNs, and those that are nobody's.
func (l *local) forbidden(a netip.Addr) bool {
	return !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || contains(l.own, a.WithZone("")) ||
		a.Zone() != "" && l.tuns[udp.Index(a)]
}

// forbids tells places that nothing is taken from.
func (l *local) forbids(from place) bool { return from.isUDP() && l.forbidden(from.addr.Addr()) }

// ours tells addresses of this host.
func (l *local) ours(a netip.Addr) bool { return slices.Contains(l.addrs, a.WithZone("")) }

// expand gives the address with a zone on each link if it needs one and has
// none, or that of an interface which is gone: a cable that is plugged in again
// may have another index.
func (l *local) expand(a netip.AddrPort, to []netip.AddrPort) []netip.AddrPort {
	ip := a.Addr()
	if !ip.Is6() || !ip.IsLinkLocalUnicast() || ip.Zone() != "" && l.has(ip) {
		return append(to, a)
	}
	for _, index := range l.links {
		to = append(to, netip.AddrPortFrom(udp.WithIndex(ip, index), a.Port()))
	}
	return to
}

// has tells whether the link that the address is on is there.
func (l *local) has(ip netip.Addr) bool {
	return ip.Zone() == "" || slices.Contains(l.links, udp.Index(ip))
}

func contains(prefixes []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
