package nat

import (
	"net/netip"
	"slices"

	"kith.internal/helper/internal/osnet/internal/nft"
)

// natTable is our nftables table of family inet.
const natTable = "kith_nat"

const (
	prioClamp   = -150 // mangle
	prioForward = -10  // before the filters of others, who may drop what we accept
	prioSource  = 100  // srcnat
)

// around is what of the host a plan needs to know.
type around struct {
	lans    []netip.Prefix // directly connected, whatever their addresses
	uplinks []string       // where what is passed on leaves
	links   []string       // all interfaces
	up      []string       // those that are up, but for loopback and the offers'
	closed4 bool           // nobody but us has the host forward
	closed6 bool
}

// plan is the table that a configuration needs.
func (c Config) plan(a around) nft.Table {
	var clamp, forward, source []nft.Rule
	for _, o := range c.Offers {
		if !o.Exit && len(o.Routes) == 0 {
			continue
		}
		clamp = append(clamp, nft.Rule{nft.Iif(o.TUN), nft.ClampMSS()}, nft.Rule{nft.Oif(o.TUN), nft.ClampMSS()})
		forward = append(forward, o.out(a)...)
		forward = append(forward, o.back()...)
		source = append(source, o.source()...)
	}
	return nft.Table{Name: natTable, Chains: []nft.Chain{
		{Name: "clamp", Hook: nft.Forward, Priority: prioClamp, Rules: clamp},
		{Name: "forward", Hook: nft.Forward, Priority: prioForward, Rules: append(forward, a.shut()...)},
		{Name: "source", NAT: true, Hook: nft.Postrouting, Priority: prioSource, Rules: source},
	}}
}

// from is one rule for each source that can have this destination.
func (o Offer) from(dst netip.Prefix, then ...nft.Part) (rules []nft.Rule) {
	for _, s := range o.Sources {
		r := nft.Rule{nft.Iif(o.TUN), nft.Saddr(s)}
		if dst.IsValid() {
			if s.Addr().Is4() != dst.Addr().Is4() {
				continue
			}
			r = append(r, nft.Daddr(dst))
		}
		rules = append(rules, append(r, then...))
	}
	return rules
}

// out is what comes out of the overlay. Named subnets come first: they may lie
// in a LAN that the exit does not open.
func (o Offer) out(a around) []nft.Rule {
	rules := []nft.Rule{{nft.Iif(o.TUN), nft.Oif(o.TUN), nft.Drop()}}
	for _, r := range o.Routes {
		rules = append(rules, o.from(r.Prefix, nft.Accept())...)
	}
	if o.Exit && !o.ExitLAN {
		for _, p := range slices.Concat(private, a.lans) {
			rules = append(rules, nft.Rule{nft.Iif(o.TUN), nft.Daddr(p), nft.Drop()})
		}
	}
	if o.Exit {
		rules = append(rules, o.from(netip.Prefix{}, nft.Accept())...)
	}
	return append(rules, nft.Rule{nft.Iif(o.TUN), nft.Drop()})
}

// back is what goes into the overlay: answers, and what subnets begin that see
// its addresses.
func (o Offer) back() []nft.Rule {
	rules := []nft.Rule{{nft.Oif(o.TUN), nft.Established(), nft.Accept()}}
	for _, r := range o.Routes {
		if !r.SNAT {
			rules = append(rules, nft.Rule{nft.Oif(o.TUN), nft.Saddr(r.Prefix), nft.Accept()})
		}
	}
	return append(rules, nft.Rule{nft.Oif(o.TUN), nft.Drop()})
}

// source gives what leaves this host's address.
func (o Offer) source() (rules []nft.Rule) {
	for _, s := range o.Sources {
		out := nft.Rule{nft.Saddr(s), nft.NotOif(o.TUN)}
		for _, r := range o.Routes {
			if r.Prefix.Addr().Is4() != s.Addr().Is4() {
				continue
			}
			then := nft.Masquerade()
			if !r.SNAT {
				then = nft.Return()
			}
			rules = append(rules, append(slices.Clone(out), nft.Daddr(r.Prefix), then))
		}
		if o.Exit {
			rules = append(rules, append(slices.Clone(out), nft.Masquerade()))
		}
	}
	return rules
}

// shut keeps a host that forwards for us alone from becoming a router between
// its own networks. Containers whose engine came later still get answers, and
// what is redirected to them.
func (a around) shut() (rules []nft.Rule) {
	for _, f := range []struct{ six, closed bool }{{false, a.closed4}, {true, a.closed6}} {
		if !f.closed || len(a.uplinks) == 0 {
			continue
		}
		rules = append(rules, nft.Rule{nft.Family(f.six), nft.Established(), nft.Accept()}, nft.Rule{nft.Family(f.six), nft.Redirected(), nft.Accept()})
		for _, u := range a.uplinks {
			rules = append(rules, nft.Rule{nft.Family(f.six), nft.Iif(u), nft.Drop()})
		}
	}
	return rules
}
