package nat

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/internal/rtnl"
	"kith.internal/helper/internal/osnet/sysctl"
)

const (
	all4 = "net/ipv4/conf/all/forwarding"
	all6 = "net/ipv6/conf/all/forwarding"
)

// own tells which settings are this package's.
func own(key string) bool {
	return strings.HasSuffix(key, "/forwarding") || strings.HasPrefix(key, "net/ipv6/") && strings.HasSuffix(key, "/accept_ra")
}

// look reads what a plan needs to know of the host.
func look(h *netlink.Handle, j sysctl.Journal, c Config) (a around, err error) {
	links, err := rtnl.Whole(h.LinkList)
	if err != nil {
		return a, fmt.Errorf("read links: %w", err)
	}
	names := map[int]string{}
	for _, l := range links {
		at := l.Attrs()
		a.links = append(a.links, at.Name)
		if at.RawFlags&unix.IFF_LOOPBACK != 0 || slices.ContainsFunc(c.Offers, func(o Offer) bool { return o.TUN == at.Name }) {
			continue
		}
		names[at.Index] = at.Name
		if at.RawFlags&unix.IFF_UP != 0 {
			a.up = append(a.up, at.Name)
		}
	}
	addrs, err := rtnl.Whole(func() ([]netlink.Addr, error) { return h.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return a, fmt.Errorf("read addresses: %w", err)
	}
	lan := slices.ContainsFunc(c.Offers, func(o Offer) bool { return o.ExitLAN })
	for _, ad := range addrs {
		p, ok := rtnl.Prefix(ad.IPNet)
		name := names[ad.LinkIndex]
		if !ok || name == "" {
			continue
		}
		if !p.IsSingleIP() && !slices.ContainsFunc(private, func(q netip.Prefix) bool { return q.Contains(p.Addr()) }) {
			a.lans = append(a.lans, p.Masked())
		}
		if lan {
			a.uplinks = append(a.uplinks, name)
		}
	}
	routes, err := rtnl.Whole(func() ([]netlink.Route, error) {
		return h.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return a, fmt.Errorf("read routes: %w", err)
	}
	for _, r := range routes {
		p, ok := rtnl.Prefix(r.Dst)
		if !ok || r.Type != unix.RTN_UNICAST || r.Table == unix.RT_TABLE_LOCAL || !c.leaves(p) {
			continue
		}
		hops := r.MultiPath
		if len(hops) == 0 {
			hops = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex}}
		}
		for _, hop := range hops {
			if name := names[hop.LinkIndex]; name != "" {
				a.uplinks = append(a.uplinks, name)
			}
		}
	}
	slices.Sort(a.uplinks)
	a.uplinks = slices.Compact(a.uplinks)
	slices.SortFunc(a.lans, netip.Prefix.Compare)
	a.lans = slices.Compact(a.lans)
	a.closed4, a.closed6 = closed(j)
	return a, nil
}

// leaves tells whether what is passed on may go by a route.
func (c Config) leaves(p netip.Prefix) bool {
	return slices.ContainsFunc(c.Offers, func(o Offer) bool {
		return o.Exit && p.Bits() <= 1 || slices.ContainsFunc(o.Routes, func(r Route) bool {
			return p.Bits() == 0 && p.Addr().Is4() == r.Prefix.Addr().Is4() || p.Bits() > 0 && p.Overlaps(r.Prefix)
		})
	})
}

// closed tells for IPv4 and IPv6 whether nobody but us has the host forward.
// IPv6 has one switch, so there it is known by what it was.
func closed(j sysctl.Journal) (four, six bool) {
	v, err := sysctl.Get(all4)
	four = err == nil && v == "0"
	v, err = sysctl.Get(all6)
	six = err == nil && v == "0"
	all, _ := j.Entries()
	return four, six || slices.ContainsFunc(all, func(e sysctl.Entry) bool { return e.Key == all6 })
}

// forwardingOn has the kernel forward what comes from and goes back to the
// offers' interfaces. IPv4 asks the interface that a packet came by; the switch
// for all of them would change more than that. IPv6 has but that one.
func forwardingOn(j sysctl.Journal, c Config, a around) (changed int, four, six error) {
	names := slices.Clone(a.uplinks)
	for _, o := range c.Offers {
		names = append(names, o.TUN)
	}
	set := func(key, value string) error {
		if v, err := sysctl.Get(key); err != nil || v == value {
			return err
		}
		changed++
		return sysctl.Set(j, key, value)
	}
	for _, n := range names {
		if err := set("net/ipv4/conf/"+n+"/forwarding", "1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			four = err
		}
	}
	if a.closed6 { // else a router already, whose advertisements are its own affair
		six = errors.Join(heedRouters(j, a), noteForwarding(j))
	}
	if six == nil { // never without the default route that they bring
		if err := set(all6, "1"); err != nil {
			six = fmt.Errorf("forward IPv6: %w", err)
		}
	}
	if errors.Is(six, fs.ErrNotExist) {
		six = nil // there is no IPv6 to forward
	}
	return changed, four, six
}

// heedRouters has the interfaces that are up heed router advertisements although
// the host forwards (accept_ra 2, RFC 4861 §6.2.2). What comes up later is seen
// to before it asks for routers: its address is tried for a second first (RFC
// 4862 §5.4). What is down may still be renamed, and the default is nobody's to
// change, as what is born with it keeps it.
func heedRouters(j sysctl.Journal, a around) error {
	all, err := j.Entries()
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range all {
		name, ok := strings.CutPrefix(e.Key, "net/ipv6/conf/")
		if !ok {
			continue
		}
		if name, ok = strings.CutSuffix(name, "/accept_ra"); ok && name != "default" && !slices.Contains(a.links, name) {
			errs = append(errs, j.Done(e.Key)) // as of containers, which come and go
		}
	}
	for _, name := range a.up {
		key := "net/ipv6/conf/" + name + "/accept_ra"
		if v, _ := sysctl.Get(key); v != "1" {
			continue
		}
		if err := sysctl.Set(j, key, "2"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("heed router advertisements: %w", err))
		}
	}
	return errors.Join(errs...)
}

// noteForwarding journals what interfaces forward on their own, before the switch
// for all of them overwrites it: put back, that makes 0 of each.
func noteForwarding(j sysctl.Journal) error {
	if v, err := sysctl.Get(all6); err != nil || v != "0" {
		return nil
	}
	all, err := j.Entries()
	if err != nil || slices.ContainsFunc(all, func(e sysctl.Entry) bool { return e.Key == all6 }) {
		return err
	}
	for _, key := range sysctl.Keys("net/ipv6/conf/*/forwarding") {
		if v, err := sysctl.Get(key); err == nil && v != "0" {
			err = j.Begin(sysctl.Entry{Key: key, Old: v, New: "0"})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
