package netnstest

import (
	"fmt"
	"net/netip"
)

// Router adds a host that forwards.
func (b *Bed) Router(name string) *Host {
	b.t.Helper()
	h := b.Host(name)
	h.sysctl("net/ipv4/ip_forward", "1")
	h.sysctl("net/ipv6/conf/all/forwarding", "1")
	return h
}

// Subnet is a LAN with a router, which has the first address of each prefix and
// is the default route of all others on it.
type Subnet struct {
	*LAN
	Prefixes []netip.Prefix
	router   *Host
	given    map[*Host]int // the number of a host's address in each prefix
	next     int
}

// Subnet adds a LAN whose router is h. Its name is at most 10 bytes and is that
// of its hosts' interfaces.
func (h *Host) Subnet(name string, prefixes ...string) *Subnet {
	b := h.bed
	b.t.Helper()
	s := &Subnet{LAN: b.LAN(name, WireLike), router: h, given: map[*Host]int{}, next: 2}
	for _, p := range prefixes {
		s.Prefixes = append(s.Prefixes, netip.MustParsePrefix(p))
	}
	h.Attach(s.LAN, s.addresses(1)...)
	return s
}

// addresses are the nth address of each prefix.
func (s *Subnet) addresses(n int) (out []netip.Prefix) {
	for _, p := range s.Prefixes {
		a := p.Addr()
		for range n {
			a = a.Next()
		}
		out = append(out, netip.PrefixFrom(a, p.Bits()))
	}
	return out
}

// Join plugs h in, with an address of each prefix and default routes of this
// metric (0: the kernel's own), and returns the addresses.
func (s *Subnet) Join(h *Host, metric int) []netip.Addr {
	h.bed.t.Helper()
	s.given[h] = s.next
	s.next++
	h.Attach(s.LAN, s.addresses(s.given[h])...)
	s.route(h, metric)
	return s.Addrs(h)
}

func (s *Subnet) route(h *Host, metric int) {
	h.bed.t.Helper()
	var lines []string
	for _, gateway := range s.addresses(1) {
		line := fmt.Sprintf("route replace default via %v dev %s", gateway.Addr(), s.name)
		if metric > 0 {
			line += fmt.Sprint(" metric ", metric)
		}
		lines = append(lines, line)
	}
	h.bed.batch(h.Namespace, lines...)
}

// Addrs are the addresses of a host that joined, one of each prefix.
func (s *Subnet) Addrs(h *Host) (out []netip.Addr) {
	for _, p := range s.addresses(s.given[h]) {
		out = append(out, p.Addr())
	}
	return out
}

// Unplug takes the host's cable away at its far end; the addresses and routes
// go with it, as network managers have it.
func (s *Subnet) Unplug(h *Host) {
	h.bed.t.Helper()
	h.bed.batch(h.bed.fabric, "link set "+h.ports[s.LAN]+" down")
	var lines []string
	for _, gateway := range s.addresses(1) {
		lines = append(lines, fmt.Sprintf("route del default via %v dev %s", gateway.Addr(), s.name))
	}
	h.bed.batch(h.Namespace, append(lines, "addr flush dev "+s.name+" scope global")...)
}

// Plug undoes Unplug.
func (s *Subnet) Plug(h *Host, metric int) {
	h.bed.t.Helper()
	h.bed.batch(h.bed.fabric, "link set "+h.ports[s.LAN]+" up")
	h.await(s.name)
	var lines []string
	for _, a := range s.addresses(s.given[h]) {
		lines = append(lines, fmt.Sprintf("addr add %v dev %s", a, s.name))
	}
	h.bed.batch(h.Namespace, lines...)
	s.route(h, metric)
}

// Renumber takes the host's addresses away and gives it others, as a provider
// does over night; what its NAT had mapped is gone with them.
func (s *Subnet) Renumber(h *Host) []netip.Addr {
	h.bed.t.Helper()
	var lines []string
	for _, a := range s.addresses(s.given[h]) {
		lines = append(lines, fmt.Sprintf("addr del %v dev %s", a, s.name))
	}
	s.given[h] = s.next
	s.next++
	for _, a := range s.addresses(s.given[h]) {
		lines = append(lines, fmt.Sprintf("addr add %v dev %s", a, s.name))
	}
	h.bed.batch(h.Namespace, lines...)
	s.route(h, 0)
	return s.Addrs(h)
}

// Internet is public networks and the router between them.
type Internet struct {
	Core *Host
	n    int
}

// Internet adds an internet without networks. It has room for 16.
func (b *Bed) Internet() *Internet {
	b.t.Helper()
	return &Internet{Core: b.Router("internet")}
}

// Subnet adds a public network of both families with room for 13 hosts.
func (i *Internet) Subnet(name string) *Subnet {
	i.Core.bed.t.Helper()
	i.n++
	return i.Core.Subnet(name, fmt.Sprintf("203.0.113.%d/28", 16*(i.n-1)), fmt.Sprintf("2001:db8:%d::/64", i.n))
}

// Route lets a router send a prefix that is behind another of its neighbours.
func (h *Host) Route(to netip.Prefix, via netip.Addr) {
	h.bed.t.Helper()
	h.bed.batch(h.Namespace, fmt.Sprintf("route replace %v via %v", to, via))
}
