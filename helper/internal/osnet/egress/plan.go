package egress

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Where Kith's rules and routes are: between those of other VPNs that leave
// the default route alone and the system's own at 32766.
const (
	tableMain    = 254
	tableDefault = 253
	table        = 27496 // ours

	prioMarked   = 5300 // our own sockets: main, default, unreachable
	prioDHCP     = 5305
	prioPortal   = 5306 // to 5309
	prioSpecific = 5310 // the host's own routes but its default
	prioTable    = 5311
)

// rule is one policy rule of one family.
type rule struct {
	six      bool
	prio     int
	marked   bool   // of packets with bypass.Route
	proto    byte   // 0: any
	sport    uint16 // 0: any
	dport    uint16
	table    int // 0: unreachable
	suppress int // routes with prefixes as short do not count; 0: all count
}

func (r rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d:", map[bool]string{false: "ipv4", true: "ipv6"}[r.six], r.prio)
	if r.marked {
		b.WriteString(" marked")
	}
	if r.proto != 0 {
		fmt.Fprintf(&b, " proto %d", r.proto)
	}
	if r.sport != 0 {
		fmt.Fprintf(&b, " sport %d", r.sport)
	}
	if r.dport != 0 {
		fmt.Fprintf(&b, " dport %d", r.dport)
	}
	if r.table == 0 {
		return b.String() + " unreachable"
	}
	fmt.Fprintf(&b, " lookup %d", r.table)
	if r.suppress > 0 {
		fmt.Fprintf(&b, " beyond /%d", r.suppress)
	}
	return b.String()
}

// route is one route of our table: into an interface, or, with index 0, back to
// the rules that follow (throw), or nowhere.
type route struct {
	prefix  netip.Prefix
	index   int
	nowhere bool
}

func (r route) String() string {
	switch {
	case r.nowhere:
		return fmt.Sprintf("unreachable %s", r.prefix)
	case r.index == 0:
		return fmt.Sprintf("throw %s", r.prefix)
	}
	return fmt.Sprintf("%s dev %d", r.prefix, r.index)
}

// inside is a network within this machine: a bridge that has no port but those
// of containers and virtual machines.
type inside struct {
	name     string
	prefixes []netip.Prefix
}

// around is what of the host a plan needs to know.
type around struct {
	insides []inside
	bridges []string // all bridges: what is switched by them is not this machine's
}

const (
	udp = 17
	tcp = 6
)

// rules are what a configuration needs, in their order.
func (c Config) rules() (out []rule) {
	if c.idle() {
		return nil
	}
	for _, six := range []bool{false, true} {
		add := func(r rule) {
			r.six = six
			out = append(out, r)
		}
		add(rule{prio: prioMarked, marked: true, table: tableMain})
		add(rule{prio: prioMarked + 1, marked: true, table: tableDefault})
		add(rule{prio: prioMarked + 2, marked: true})
		if !c.Exit {
			// 1 and not 0: other VPNs halve the default route.
			add(rule{prio: prioSpecific, table: tableMain, suppress: 1})
			add(rule{prio: prioTable, table: table})
			continue
		}
		dhcp := rule{prio: prioDHCP, proto: udp, sport: 68, dport: 67, table: tableMain}
		if six {
			dhcp.sport, dhcp.dport = 546, 547
		}
		add(dhcp)
		if c.Portal {
			for i, p := range portal {
				add(rule{prio: prioPortal + i, proto: p.proto, dport: p.port, table: tableMain})
			}
		}
		add(rule{prio: prioTable, table: table})
	}
	return out
}

// portal is what signing in to a captive portal takes.
var portal = [...]struct {
	proto byte
	port  uint16
}{{udp, 53}, {tcp, 53}, {tcp, 80}, {tcp, 443}}

var (
	all4       = netip.MustParsePrefix("0.0.0.0/0")
	all6       = netip.MustParsePrefix("::/0")
	linkLocal6 = netip.MustParsePrefix("fe80::/10")
	multicast4 = netip.MustParsePrefix("224.0.0.0/4")
	multicast6 = netip.MustParsePrefix("ff00::/8")
	broadcast4 = netip.MustParsePrefix("255.255.255.255/32")
)

// routes are what a configuration needs in our table, sorted. For one prefix the
// first to claim it has it: what stays local, then overlays, then subnets.
func (c Config) routes(a around) []route {
	if c.idle() {
		return nil
	}
	claimed := map[netip.Prefix]route{}
	claim := func(r route) {
		r.prefix = r.prefix.Masked()
		if _, taken := claimed[r.prefix]; !taken {
			claimed[r.prefix] = r
		}
	}
	if c.Exit {
		claim(route{prefix: linkLocal6})
		for _, in := range a.insides {
			for _, p := range in.prefixes {
				claim(route{prefix: p})
			}
		}
		for _, p := range c.AllowLAN {
			claim(route{prefix: p})
		}
		if len(c.AllowLAN) > 0 {
			claim(route{prefix: multicast4})
		}
		// In main they are too, but throw alone leads there.
		for _, o := range c.Own {
			for _, p := range o.Prefixes {
				claim(route{prefix: p, index: o.Index})
			}
		}
	}
	for _, r := range c.Routes {
		if !c.local(r.Prefix) {
			claim(route{prefix: r.Prefix, index: r.Index})
		}
	}
	var out []route
	for _, r := range claimed {
		out = append(out, r)
	}
	if c.Exit {
		if c.TUN != "" && c.V4 {
			out = append(out, route{prefix: all4, index: c.Index})
		}
		if c.TUN != "" && c.V6 {
			out = append(out, route{prefix: all6, index: c.Index})
		}
		// Behind these, for when the TUN is gone.
		out = append(out, route{prefix: all4, nowhere: true}, route{prefix: all6, nowhere: true})
	}
	slices.SortFunc(out, func(a, b route) int {
		return cmp.Or(a.prefix.Compare(b.prefix), cmp.Compare(b2i(a.nowhere), b2i(b.nowhere)))
	})
	return out
}

// local tells whether a subnet is part of a LAN that stays reachable: it would
// beat it by its longer prefix.
func (c Config) local(p netip.Prefix) bool {
	return c.Exit && slices.ContainsFunc(c.AllowLAN, func(l netip.Prefix) bool {
		return l.Bits() <= p.Bits() && l.Contains(p.Addr())
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
