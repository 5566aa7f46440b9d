package egress

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
)

// The guard in the terms of the Windows Filtering Platform: filters that stand in
// a sublayer of ours until somebody removes them. Each has a name, and its GUID
// comes from that name, so that any process of ours finds those of an earlier one.

// wfpLayer is where the platform asks its filters.
type wfpLayer uint8

const (
	connect4 wfpLayer = iota // a socket sends to somebody first
	connect6
	accept4 // somebody sends to a socket first: its answers go unasked
	accept6
	forward4 // what this machine passes on, each packet
	forward6
	wfpLayers
)

func (l wfpLayer) String() string {
	return [...]string{"connect4", "connect6", "accept4", "accept6", "forward4", "forward6"}[l]
}

// wfpField is what a filter looks at.
type wfpField uint8

const (
	wfpLoopback   wfpField = iota // no value
	wfpProgram                    // ours; no value
	wfpInterface                  // an index, then its LUID; for what is passed on, where it came in
	wfpOnward                     // likewise: where what is passed on goes out
	wfpProto                      // an IP protocol
	wfpLocalPort                  // or the type of an ICMP packet
	wfpRemotePort                 // or its code
	wfpRemote                     // a prefix
)

// wfpMatch is a condition. Several on one field are alternatives.
type wfpMatch struct {
	field  wfpField
	number uint64
	prefix netip.Prefix
}

func (m wfpMatch) String() string {
	switch m.field {
	case wfpLoopback:
		return "loopback"
	case wfpProgram:
		return "our program"
	case wfpRemote:
		return "to " + m.prefix.String()
	}
	name := map[wfpField]string{wfpInterface: "interface", wfpOnward: "onward", wfpProto: "proto", wfpLocalPort: "local port", wfpRemotePort: "remote port"}[m.field]
	return fmt.Sprintf("%s %d", name, m.number)
}

// wfpFilter is one filter. Of those that match the heaviest decides.
type wfpFilter struct {
	name   string // unique in its layer
	layer  wfpLayer
	weight uint64
	block  bool
	match  []wfpMatch // all of them
}

func (f wfpFilter) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d %s: %s", f.layer, f.weight, map[bool]string{false: "permit", true: "block"}[f.block], f.name)
	for i, m := range f.match {
		fmt.Fprintf(&b, "%s%s", map[bool]string{true: " (", false: ", "}[i == 0], m)
	}
	if len(f.match) > 0 {
		b.WriteString(")")
	}
	return b.String()
}

// wfpKey is a filter's GUID.
func wfpKey(l wfpLayer, name string) (key [16]byte) {
	sum := sha256.Sum256([]byte("kith guard " + l.String() + " " + name))
	copy(key[:], sum[:])
	key[6], key[8] = key[6]&0x0f|0x80, key[8]&0x3f|0x80 // RFC 9562, section 5.8
	return key
}

const (
	weightAll   uint64 = iota // block
	weightLAN                 // permit
	weightDNS                 // block: a LAN's resolver asks the internet in clear
	weightClear               // permit
)

// Bounds of what has a number in its name.
const (
	wfpOwnMost = 64
	wfpLANMost = 128
)

// wfpNames is all that a filter can be called.
func wfpNames() []string {
	names := []string{
		"all", "dns-udp-53", "dns-tcp-53", "dns-udp-853", "dns-tcp-853",
		"loopback", "program", "dhcp", "igmp",
		"link-local", "multicast", "broadcast",
		"portal-udp-53", "portal-tcp-53", "portal-tcp-80", "portal-tcp-443",
	}
	for _, t := range wfpICMP6 {
		names = append(names, fmt.Sprintf("icmp6-%d", t))
	}
	for i := range wfpOwnMost {
		names = append(names, fmt.Sprintf("own-%d", i), fmt.Sprintf("own-onward-%d", i))
	}
	for i := range wfpLANMost {
		names = append(names, fmt.Sprintf("lan-%d", i))
	}
	return names
}

// wfpICMP6 is what an IPv6 link needs: MLD (RFC 2710, 3810), router and neighbour
// discovery (RFC 4861). It does not go past the link.
var wfpICMP6 = []int{131, 132, 133, 134, 135, 136, 143}

// wfpSet collects filters.
type wfpSet []wfpFilter

func (s *wfpSet) add(layers []wfpLayer, name string, weight uint64, block bool, match ...wfpMatch) {
	for _, l := range layers {
		*s = append(*s, wfpFilter{name: name, layer: l, weight: weight, block: block, match: match})
	}
}

func (s *wfpSet) permit(layers []wfpLayer, name string, match ...wfpMatch) {
	s.add(layers, name, weightClear, false, match...)
}

var (
	wfpSockets = []wfpLayer{connect4, connect6, accept4, accept6}
	wfpForward = []wfpLayer{forward4, forward6}
	wfpEvery   = append(append([]wfpLayer(nil), wfpSockets...), wfpForward...)
)

func wfpNumber(f wfpField, n int) wfpMatch { return wfpMatch{field: f, number: uint64(n)} }

func wfpTo(p netip.Prefix) wfpMatch { return wfpMatch{field: wfpRemote, prefix: p} }

// wfp is the guard's filters, none for no block; those that block are first, so
// that nothing passes while the rest is added in its order. An answer to what
// came in clear leaves in clear, so that is blocked too, but for the LAN's. What
// is passed on has no ports there: for others, as containers, no LAN is open.
func (c Config) wfp() ([]wfpFilter, error) {
	if !c.Block {
		return nil, nil
	}
	if len(c.Own) > wfpOwnMost || len(c.AllowLAN) > wfpLANMost {
		return nil, fmt.Errorf("%w: %d networks, %d subnets", ErrConfig, len(c.Own), len(c.AllowLAN))
	}
	var s wfpSet
	s.add(wfpEvery, "all", weightAll, true)
	if len(c.AllowLAN) > 0 {
		for _, port := range []int{53, 853} {
			for _, proto := range []int{udp, tcp} {
				s.add([]wfpLayer{connect4, connect6}, fmt.Sprintf("dns-%s-%d", wfpProtoName(proto), port), weightDNS, true,
					wfpNumber(wfpProto, proto), wfpNumber(wfpRemotePort, port))
			}
		}
	}
	s.permit(wfpSockets, "loopback", wfpMatch{field: wfpLoopback})
	s.permit(wfpSockets, "program", wfpMatch{field: wfpProgram})
	for i, o := range c.Own {
		s.permit(wfpEvery, fmt.Sprintf("own-%d", i), wfpNumber(wfpInterface, o.Index))
		s.permit(wfpForward, fmt.Sprintf("own-onward-%d", i), wfpNumber(wfpOnward, o.Index))
	}
	s.alive()
	s.clear(c)
	return s, nil
}

// alive is what a link needs: see alive of the Linux guard.
func (s *wfpSet) alive() {
	s.permit([]wfpLayer{connect4, accept4}, "dhcp",
		wfpNumber(wfpProto, udp), wfpNumber(wfpLocalPort, 68), wfpNumber(wfpRemotePort, 67))
	s.permit([]wfpLayer{connect6, accept6}, "dhcp",
		wfpNumber(wfpProto, udp), wfpNumber(wfpLocalPort, 546), wfpNumber(wfpRemotePort, 547),
		wfpTo(linkLocal6), wfpTo(multicast6))
	for _, t := range wfpICMP6 {
		match := []wfpMatch{wfpNumber(wfpProto, 58), wfpNumber(wfpLocalPort, t), wfpNumber(wfpRemotePort, 0)}
		s.permit([]wfpLayer{accept6}, fmt.Sprintf("icmp6-%d", t), match...)
		if t <= 133 || t == 143 {
			match = append(match, wfpTo(multicast6))
		}
		s.permit([]wfpLayer{connect6}, fmt.Sprintf("icmp6-%d", t), match...)
	}
	s.permit([]wfpLayer{connect4}, "igmp", wfpNumber(wfpProto, 2), wfpTo(multicast4))
}

// clear is what a person has allowed to leave in clear.
func (s *wfpSet) clear(c Config) {
	if c.Portal {
		for _, p := range portal {
			s.permit([]wfpLayer{connect4, connect6}, fmt.Sprintf("portal-%s-%d", wfpProtoName(int(p.proto)), p.port),
				wfpNumber(wfpProto, int(p.proto)), wfpNumber(wfpRemotePort, int(p.port)))
		}
	}
	if len(c.AllowLAN) == 0 {
		return
	}
	lan := func(name string, p netip.Prefix) {
		layers := []wfpLayer{connect4, accept4}
		if p.Addr().Is6() {
			layers = []wfpLayer{connect6, accept6}
		}
		s.add(layers, name, weightLAN, false, wfpTo(p))
	}
	for i, p := range c.AllowLAN {
		lan(fmt.Sprintf("lan-%d", i), p.Masked())
	}
	lan("link-local", linkLocal6)
	s.add([]wfpLayer{connect4}, "multicast", weightLAN, false, wfpTo(multicast4))
	s.add([]wfpLayer{connect6}, "multicast", weightLAN, false, wfpTo(multicast6))
	s.add([]wfpLayer{connect4}, "broadcast", weightLAN, false, wfpTo(broadcast4))
}

func wfpProtoName(proto int) string {
	if proto == udp {
		return "udp"
	}
	return "tcp"
}
