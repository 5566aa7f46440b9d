package simnet

import (
	"fmt"
	"net/netip"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
)

const (
	// accessDelay is that of one access link: two sites are 20 ms apart, there
	// and back.
	accessDelay = 5 * time.Millisecond
	// metric is that of a host's first default route; each further LAN's is as
	// much higher.
	metric = 100
)

// Site is a LAN whose router leads to the internet.
type Site struct {
	*LAN
	// Router's methods set NAT, firewall and filters.
	Router *udptest.Router
	// Access is the link on the router's other side.
	Access *LAN
	number int
}

// Uplink is how a site is connected.
type Uplink struct {
	NAT      *udptest.NAT // of IPv4; nil: the site has no IPv4
	Behind   *Site        // the router is a customer of that one, nil: of the internet
	IPv6     bool         // routed
	Firewall bool         // stateful, for what is routed
}

// internet is the router in the middle.
func (n *Net) internet() *udptest.Router {
	if n.core == nil {
		n.core = n.udp.Router("internet")
	}
	return n.core
}

// access is a link to the internet, whose router has the first address there.
func (n *Net) access(name string) (l *LAN, number int) {
	core := n.internet()
	l = n.LinkLocal(name + "'s access")
	l.SetDelay(accessDelay)
	n.sites++
	number = n.sites
	l.prefix = netip.MustParsePrefix(fmt.Sprintf("198.%d.%d.0/24", 18+number/250, number%250))
	l.prefix6 = netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x::/64", number))
	l.gateway, l.gateway6 = l.prefix.Addr().Next(), l.prefix6.Addr().Next()
	l.next, l.next6 = l.gateway.Next(), l.gateway6.Next()
	core.Attach(l.Segment, netip.PrefixFrom(l.gateway, 24), netip.PrefixFrom(l.gateway6, 64))
	return l, number
}

// Server makes a machine with public addresses of both families.
func (n *Net) Server(name string) *Host {
	l, _ := n.access(name)
	return n.Host(name, l)
}

// addr4 is the host's IPv4 address on the first of its LANs.
func (h *Host) addr4() netip.Addr {
	for _, i := range h.udp.Interfaces() {
		for _, p := range i.Prefixes {
			if p.Addr().Is4() && !i.Loopback {
				return p.Addr()
			}
		}
	}
	return netip.Addr{}
}

// Home is a site behind an ordinary home router.
func (n *Net) Home(name string) *Site { return n.Site(name, Uplink{NAT: &udptest.Masquerade}) }

// Site makes a LAN and the router that connects it.
func (n *Net) Site(name string, up Uplink) *Site {
	s := &Site{LAN: n.LAN(name), Router: n.udp.Router(name + "'s router")}
	if up.Behind != nil {
		s.Access = up.Behind.LAN
	} else {
		s.Access, s.number = n.access(name)
	}
	out := s.Access
	s.gateway = s.next
	inner := []netip.Prefix{netip.PrefixFrom(s.gateway, s.prefix.Bits())}
	s.next = s.next.Next()
	if up.NAT == nil {
		s.prefix = netip.Prefix{}
		inner = nil
	}
	if up.IPv6 {
		s.prefix6 = netip.MustParsePrefix(fmt.Sprintf("2001:db8:%x:1::/64", s.number))
		s.gateway6 = s.prefix6.Addr().Next()
		s.next6 = s.gateway6.Next()
		inner = append(inner, netip.PrefixFrom(s.gateway6, 64))
	}
	s.Router.Attach(s.Segment, inner...)
	outer := out.address()
	s.Router.Attach(out.Segment, outer...)
	out.routes(s.Router.Host, 0)
	if up.IPv6 {
		n.core.AddRoute(s.prefix6, out.Segment, outer[1].Addr(), 0)
	}
	s.Router.SetOutside(out.Segment)
	s.Router.SetNAT(up.NAT)
	s.Router.SetFirewall(up.Firewall)
	return s
}

// Rebind gives the site another public address and forgets all its mappings.
func (s *Site) Rebind() { s.Router.Rebind(s.Access.address()...) }

// routes gives a host the link's default routes.
func (l *LAN) routes(h *udptest.Host, metric int) {
	for _, g := range []netip.Addr{l.gateway, l.gateway6} {
		if g.IsValid() {
			h.AddDefault(l.Segment, g, metric)
		}
	}
}
