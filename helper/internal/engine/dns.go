package engine

import (
	"errors"
	"net/netip"
	"slices"

	"kith.internal/dns"
	"kith.internal/dns/forward"
	"kith.internal/dns/osconf"
	"kith.internal/dns/plan"
	"kith.internal/dns/stub"
	"kith.internal/helper/internal/filter"
	"kith.internal/ipc"
)

// applyDNS brings the stub, the forwarder and the system's resolver in line
// with the networks that are up.
func (e *Engine) applyDNS() {
	if e.stopping {
		return
	}
	if err := e.joinZones(); err != nil {
		e.log.Error("join the zones", "err", err)
		return
	}
	e.stub.Set(e.zones)
	e.listenForNames()
	e.forwardTo(e.dns.Base())
	e.serveMembers(e.dns.Base())
	in := e.planned()
	e.setDNS(&in)
}

// joinZones brings e.zones in line with the networks that are up. They stay the
// same while nothing of them changes, so that what is kept of them can be.
func (e *Engine) joinZones() error {
	var zones []*dns.Zone
	for _, n := range e.nets {
		if n.on == nil {
			continue
		}
		z, err := n.zone()
		if err != nil {
			e.log.Error("build a zone", "network", n.alias, "err", err)
			continue
		}
		zones = append(zones, z)
	}
	// Friends' after all of ours: nothing of theirs may stand before it.
	for _, s := range e.stays() {
		z, err := s.zone()
		if err != nil {
			e.log.Error("build a friend's zone", "network", s.alias, "err", err)
			continue
		}
		zones = append(zones, z)
	}
	if e.zones != nil && slices.Equal(e.zones.All(), zones) {
		return nil
	}
	all, err := dns.NewZones(zones...)
	if err == nil {
		e.zones = all
	}
	return err
}

// planned is what the system's resolver should be told. An OS that splits sends
// names outside our zones here too, where records or resolvers of ours stand for
// them; with resolvers for all names, it sends all.
func (e *Engine) planned() plan.Input {
	in := plan.Input{Zones: e.zones, Stub: e.answering(), BaseSearch: e.dns.Base().Search, Domains: e.zones.Domains()}
	// Beside an exit node no other resolver may be asked.
	in.TakeAll = e.exit.state != ipc.ExitOff
	for _, s := range e.splits() {
		if s.suffix == "." {
			in.TakeAll = true
		} else {
			in.Domains = append(in.Domains, s.suffix)
		}
	}
	return in
}

// answering is the stub's addresses that answer now, over UDP and TCP; only where
// there are none, those over UDP alone: what listens for TCP there is not ours.
func (e *Engine) answering() []netip.Addr {
	ok := map[string]map[netip.Addr]bool{"udp": {}, "tcp": {}}
	for _, s := range e.stub.Status() {
		ok[s.Network][s.Addr.Addr()] = s.Err == nil
	}
	var some, both []netip.Addr
	for _, a := range append(e.ownAddrs(), e.insideAddrs()...) {
		if ok["udp"][a] {
			some = append(some, a)
			if ok["tcp"][a] {
				both = append(both, a)
			}
		}
	}
	if len(both) > 0 {
		return both
	}
	return some
}

func (e *Engine) forwardTo(base osconf.Base) {
	e.forward.Set(e.table(base))
}

// table is who is asked for what is not ours.
func (e *Engine) table(base osconf.Base) forward.Table {
	t := forward.Table{Default: base.Nameservers, Split: map[string][]netip.AddrPort{}, Own: append(e.ownAddrs(), e.insideAddrs()...), Secure: map[netip.AddrPort]forward.Secure{}}
	if e.exit.state != ipc.ExitOff && !e.portalOpen() {
		t.Default = e.exitResolvers()
	}
	for _, s := range e.splits() {
		for _, r := range s.servers {
			if r.Name != "" {
				t.Secure[r.Addr] = forward.Secure{Name: r.Name, Path: r.Path}
			}
		}
		if s.suffix == "." {
			if !e.portalOpen() {
				t.Default = addrsOf(s.servers)
			}
		} else {
			t.Split[s.suffix] = addrsOf(s.servers)
		}
	}
	return t
}

func addrsOf(resolvers []dns.Resolver) []netip.AddrPort {
	var out []netip.AddrPort
	for _, r := range resolvers {
		out = append(out, r.Addr)
	}
	return out
}

// setDNS tells the system's resolver, nil to leave it as it was.
func (e *Engine) setDNS(in *plan.Input) {
	var want plan.OSConfig
	if in != nil && len(in.Stub) > 0 {
		want = plan.Make(*in, e.dns.Abilities()).OS
	}
	err := e.dns.Set(want)
	switch {
	case err == nil:
		e.health.Clear(ipc.HealthDNSFailed, "")
		e.health.Clear(ipc.HealthDNSOverridden, "")
	case errors.Is(err, osconf.ErrGivenUp):
		// Said by its event.
	default:
		e.warn(ipc.HealthDNSFailed, "", map[string]string{"why": err.Error()})
	}
}

// dnsEvent follows what another program did to the resolver's settings.
func (e *Engine) dnsEvent(ev osconf.Event) {
	switch ev.Kind {
	case osconf.GaveUp:
		by := ev.By
		if by == "" {
			by = "another program"
		}
		e.warn(ipc.HealthDNSOverridden, "", map[string]string{"by": by})
	default:
		e.applyDNS()
	}
}

// serveMembers has the stub answer members: by choice the names of its network,
// and all others to those who may use this device as an exit node, by the
// system's own resolvers.
func (e *Engine) serveMembers(base osconf.Base) {
	var served []stub.Served
	t := forward.Table{Own: append(e.ownAddrs(), e.insideAddrs()...)}
	nobody, err := dns.NewZones()
	if err != nil {
		e.log.Error("serve names to guests", "err", err)
		return
	}
	var links []netip.Prefix
	for _, i := range e.foreign() {
		links = append(links, masked(i.Prefixes)...)
	}
	internet := func(a netip.Addr) bool {
		return filter.Public(a) && !slices.ContainsFunc(links, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	for _, n := range e.nets {
		if n.on == nil || n.names.zone == nil || !n.set.ServeNames && !n.offersExit() {
			continue
		}
		only, err := dns.NewZones(n.names.zone)
		if err != nil {
			e.log.Error("serve names to members", "network", n.alias, "err", err)
			continue
		}
		if n.offersExit() {
			t.Default = base.Nameservers
		}
		served = append(served, n.servedGuests(nobody, internet)...)
		for _, p := range overlay(n.id) {
			served = append(served, stub.Served{From: p, Zones: only, Forward: n.offersExit()})
		}
	}
	e.stub.SetServed(served)
	e.outside.Set(t)
}

// servedGuests is what guests are answered: never a name of the network's; others'
// where one of their shares has this device as an exit node, and of those what is on
// the internet alone: the resolvers asked may know the networks here.
func (n *network) servedGuests(nobody *dns.Zones, internet func(netip.Addr) bool) (out []stub.Served) {
	asks := map[netip.Addr]bool{}
	for _, g := range n.on.guests {
		for _, a := range g.Addrs {
			asks[a] = asks[a] || g.Exit && n.offersExit()
		}
	}
	for a, forward := range asks {
		out = append(out, stub.Served{From: netip.PrefixFrom(a, a.BitLen()), Zones: nobody, Forward: forward, Public: internet})
	}
	return out
}
