package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/bypass"
	"kith.internal/helper/internal/osnet/internal/rtnl"
)

// protocol marks our rules and routes as ours (rtm_protocol, rtnetlink(7)).
const protocol = 0x6b

// last is the metric of what stands behind the default routes.
const last = 0xffff0000

func family(six bool) int {
	if six {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

func (r rule) netlink() *netlink.Rule {
	n := netlink.NewRule()
	n.Family, n.Priority, n.Table, n.Protocol, n.IPProto = family(r.six), r.prio, r.table, protocol, int(r.proto)
	if r.marked {
		mask := bypass.RouteMask
		n.Mark, n.Mask = bypass.Route, &mask
	}
	if r.sport != 0 {
		n.Sport = netlink.NewRulePortRange(r.sport, r.sport)
	}
	if r.dport != 0 {
		n.Dport = netlink.NewRulePortRange(r.dport, r.dport)
	}
	if r.table == 0 {
		n.Type = unix.RTN_UNREACHABLE
	}
	if r.suppress > 0 {
		n.SuppressPrefixlen = r.suppress
	}
	return n
}

// setRules makes our rules be want: what is missing is added before what is
// too much goes.
func setRules(h *netlink.Handle, want []rule) (changed int, err error) {
	var errs []error
	for _, six := range []bool{false, true} {
		have, err := rtnl.Whole(func() ([]netlink.Rule, error) { return h.RuleList(family(six)) })
		if err != nil {
			if six && len(want) == 0 {
				continue
			}
			errs = append(errs, fmt.Errorf("read policy rules: %w", err))
			continue
		}
		have = slices.DeleteFunc(have, func(r netlink.Rule) bool { return r.Protocol != protocol })
		for _, w := range want {
			if w.six != six || slices.ContainsFunc(have, func(r netlink.Rule) bool { return same(r, w) }) {
				continue
			}
			changed++
			if err := h.RuleAdd(w.netlink()); err != nil && !errors.Is(err, unix.EEXIST) && !(six && off6(err)) {
				errs = append(errs, fmt.Errorf("add rule %s: %w", w, err))
			}
		}
		for _, r := range have {
			if slices.ContainsFunc(want, func(w rule) bool { return w.six == six && same(r, w) }) {
				continue
			}
			changed++
			r.Family = family(six)
			if err := h.RuleDel(&r); err != nil && !errors.Is(err, unix.ENOENT) {
				errs = append(errs, fmt.Errorf("delete rule %d: %w", r.Priority, err))
			}
		}
	}
	return changed, errors.Join(errs...)
}

// same tells whether a rule of the host's, with our protocol, is one of ours. The
// library does not read types: there is one unreachable rule, and its table is 0.
func same(have netlink.Rule, want rule) bool {
	w := want.netlink()
	return have.Priority == w.Priority && have.Mark == w.Mark && max(have.Table, 0) == w.Table && have.IPProto == w.IPProto
}

func (r route) netlink() *netlink.Route {
	n := &netlink.Route{Dst: rtnl.IPNet(r.prefix), Table: table, Protocol: protocol, Type: unix.RTN_UNICAST, LinkIndex: r.index}
	six := r.prefix.Addr().Is6()
	switch {
	case r.nowhere:
		n.Type, n.Priority = unix.RTN_UNREACHABLE, last
	case r.index == 0:
		n.Type = unix.RTN_THROW
	case !six:
		n.Scope = netlink.SCOPE_LINK
	}
	if six && n.Priority == 0 {
		n.Priority = 1024 // what the kernel makes of 0
	}
	return n
}

// setRoutes makes our table be want. A route that leads elsewhere is replaced
// in one step.
func setRoutes(h *netlink.Handle, want []route) (changed int, err error) {
	have, err := rtnl.Whole(func() ([]netlink.Route, error) {
		return h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return 0, fmt.Errorf("read routes: %w", err)
	}
	is := func(r netlink.Route, w route) bool {
		n := w.netlink()
		p, ok := rtnl.Prefix(r.Dst)
		return ok && p == w.prefix && r.Type == n.Type && r.Priority == n.Priority && (r.LinkIndex == n.LinkIndex || n.LinkIndex == 0)
	}
	var errs []error
	for _, w := range want {
		if slices.ContainsFunc(have, func(r netlink.Route) bool { return is(r, w) }) {
			continue
		}
		changed++
		if err := h.RouteReplace(w.netlink()); err != nil && !(w.prefix.Addr().Is6() && off6(err)) {
			errs = append(errs, fmt.Errorf("add route %s: %w", w, err))
		}
	}
	if changed > 0 { // what was replaced is not there to be deleted
		have, err = rtnl.Whole(func() ([]netlink.Route, error) {
			return h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
		})
		errs = append(errs, err)
	}
	for _, r := range have {
		if slices.ContainsFunc(want, func(w route) bool { return is(r, w) }) {
			continue
		}
		changed++
		if err := h.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("delete route %v: %w", r.Dst, err))
		}
	}
	return changed, errors.Join(errs...)
}

// off6 reads what the kernel says where it has no IPv6.
func off6(err error) bool {
	for _, e := range []error{unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EACCES} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// look reads what a plan needs to know of the host.
func look(h *netlink.Handle) (a around, err error) {
	links, err := rtnl.Whole(h.LinkList)
	if err != nil {
		return a, fmt.Errorf("read links: %w", err)
	}
	outside := map[int]bool{} // bridges with a port that may lead outside
	for _, l := range links {
		if m := l.Attrs().MasterIndex; m != 0 && l.Type() != "veth" && l.Type() != "tuntap" && l.Type() != "tun" {
			outside[m] = true
		}
	}
	for _, l := range links {
		if l.Type() != "bridge" {
			continue
		}
		a.bridges = append(a.bridges, l.Attrs().Name)
		if outside[l.Attrs().Index] {
			continue
		}
		in := inside{name: l.Attrs().Name}
		addrs, err := rtnl.Whole(func() ([]netlink.Addr, error) { return h.AddrList(l, netlink.FAMILY_ALL) })
		if err != nil {
			continue // it went away
		}
		for _, ad := range addrs {
			if p, ok := rtnl.Prefix(ad.IPNet); ok && !p.Addr().IsLinkLocalUnicast() {
				in.prefixes = append(in.prefixes, p.Masked())
			}
		}
		slices.SortFunc(in.prefixes, netip.Prefix.Compare)
		a.insides = append(a.insides, in)
	}
	slices.Sort(a.bridges)
	slices.SortFunc(a.insides, func(x, y inside) int {
		if x.name < y.name {
			return -1
		}
		return 1
	})
	return a, nil
}
