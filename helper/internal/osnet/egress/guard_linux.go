package egress

import (
	"kith.internal/helper/internal/osnet/bypass"
	"kith.internal/helper/internal/osnet/internal/nft"
)

// guardTable is our nftables table of family inet.
const guardTable = "kith_guard"

const (
	// Before connection tracking and the reverse path filters of others (raw,
	// -300), which look at marks.
	prioInbound = -310
	// After all that may change where a packet goes.
	prioGuard = 300
)

// guard is the table that a configuration needs; false: none. It does not
// depend on what an interface's index is, so it stands while TUNs come and go.
func (c Config) guard(a around) (nft.Table, bool) {
	if c.idle() {
		return nft.Table{}, false
	}
	t := nft.Table{Name: guardTable, Chains: []nft.Chain{{
		Name: "inbound", Hook: nft.Prerouting, Priority: prioInbound, Rules: c.inbound(),
	}}}
	if c.Block {
		t.Chains = append(t.Chains,
			nft.Chain{Name: "output", Hook: nft.Output, Priority: prioGuard, Drop: true, Rules: c.output(a)},
			nft.Chain{Name: "forward", Hook: nft.Forward, Priority: prioGuard, Drop: true, Rules: c.forward(a)})
	}
	return t, true
}

// inbound marks what comes from elsewhere for this host, so that a strict
// rp_filter (RFC 3704) looks for its way back in the main table, as without us.
func (c Config) inbound() []nft.Rule {
	rules := []nft.Rule{{nft.Iif("lo"), nft.Return()}}
	for _, o := range c.Own {
		rules = append(rules, nft.Rule{nft.Iif(o.Name), nft.Return()})
	}
	return append(rules, nft.Rule{nft.ToLocal(), nft.SetMark(bypass.Inbound, bypass.Mask)})
}

// output is what may leave of this machine's own.
func (c Config) output(a around) []nft.Rule {
	rules := append(c.sealed(a), nft.Rule{nft.Mark(bypass.Mark, bypass.Mask), nft.Accept()})
	rules = append(rules, alive...)
	return append(rules, c.clear()...)
}

// forward is what may leave of others': of containers, for instance.
func (c Config) forward(a around) []nft.Rule {
	rules := c.sealed(a)
	for _, b := range a.bridges {
		rules = append(rules, nft.Rule{nft.Iif(b), nft.Oif(b), nft.Accept()})
	}
	return append(rules, c.clear()...)
}

// sealed is what does not leave, or not in clear.
func (c Config) sealed(a around) []nft.Rule {
	rules := []nft.Rule{{nft.Oif("lo"), nft.Accept()}}
	for _, o := range c.Own {
		rules = append(rules, nft.Rule{nft.Oif(o.Name), nft.Accept()})
	}
	for _, in := range a.insides {
		rules = append(rules, nft.Rule{nft.Oif(in.name), nft.Accept()})
	}
	return rules
}

// alive is what a link needs and the kernel or a DHCP client sends: it does not
// go past the link. DHCP (RFC 2131), DHCPv6 (RFC 8415), router and neighbour
// discovery (RFC 4861), MLD (RFC 2710, 3810), IGMP (RFC 3376).
var alive = []nft.Rule{
	{nft.Family(false), nft.UDP(), nft.Sport(68), nft.Dport(67), nft.Accept()},
	{nft.Daddr(linkLocal6), nft.UDP(), nft.Sport(546), nft.Dport(547), nft.Accept()},
	{nft.Daddr(multicast6), nft.UDP(), nft.Sport(546), nft.Dport(547), nft.Accept()},
	{nft.ICMP6(133, 136), nft.HopLimit(255), nft.Accept()},
	{nft.Daddr(multicast6), nft.ICMP6(131, 132), nft.HopLimit(1), nft.Accept()},
	{nft.Daddr(multicast6), nft.ICMP6(143, 143), nft.HopLimit(1), nft.Accept()},
	{nft.Daddr(multicast4), nft.IGMP(), nft.TTL(1), nft.Accept()},
}

// clear is what a person has allowed to leave in clear. A resolver on the LAN
// would ask the internet in clear, so DNS and DNS over TLS do not.
func (c Config) clear() (rules []nft.Rule) {
	if c.Portal {
		for _, p := range portal {
			l4 := nft.TCP()
			if p.proto == udp {
				l4 = nft.UDP()
			}
			rules = append(rules, nft.Rule{l4, nft.Dport(p.port), nft.Accept()})
		}
	}
	if len(c.AllowLAN) == 0 {
		return rules
	}
	for _, port := range []uint16{53, 853} {
		rules = append(rules, nft.Rule{nft.UDP(), nft.Dport(port), nft.Drop()}, nft.Rule{nft.TCP(), nft.Dport(port), nft.Drop()})
	}
	for _, p := range c.AllowLAN {
		rules = append(rules, nft.Rule{nft.Daddr(p), nft.Accept()})
	}
	return append(rules,
		nft.Rule{nft.Daddr(linkLocal6), nft.Accept()},
		nft.Rule{nft.Daddr(multicast4), nft.Accept()},
		nft.Rule{nft.Daddr(broadcast4), nft.Accept()},
		nft.Rule{nft.Daddr(multicast6), nft.Accept()})
}
