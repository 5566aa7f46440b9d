package engine

import (
	"errors"

	"kith.internal/dns"
	"kith.internal/dns/forward"
	"kith.internal/dns/osconf"
	"kith.internal/dns/plan"
	"kith.internal/ipc"
	"net/netip"
)

// applyDNS brings the stub, the forwarder and the system's resolver in line
// with the networks that are up.
func (e *Engine) applyDNS() {
	if e.stopping {
		return
	}
	var zones []*dns.Zone
	for _, n := range e.nets {
		if n.on == nil {
			continue
		}
		z, refused, err := n.zone()
		if err != nil {
			e.log.Error("build a zone", "network", n.alias, "err", err)
			continue
		}
		for _, r := range refused {
			e.log.Warn("a name is left out", "network", n.alias, "err", r)
		}
		zones = append(zones, z)
	}
	all, err := dns.NewZones(zones...)
	if err != nil {
		e.log.Error("join the zones", "err", err)
		return
	}
	e.stub.Set(all)
	if err := e.stub.SetAddrs(e.ownAddrs()); err != nil {
		e.log.Debug("the stub does not answer everywhere yet", "err", err)
	}
	e.forwardTo(e.dns.Base())
	e.setDNS(&plan.Input{Zones: all, Stub: e.answering(), BaseSearch: e.dns.Base().Search})
}

// answering is the stub's addresses that answer over UDP now.
func (e *Engine) answering() []netip.Addr {
	var out []netip.Addr
	ok := map[netip.Addr]bool{}
	for _, s := range e.stub.Status() {
		if s.Network == "udp" && s.Err == nil {
			ok[s.Addr.Addr()] = true
		}
	}
	for _, a := range e.ownAddrs() {
		if ok[a] {
			out = append(out, a)
		}
	}
	return out
}

func (e *Engine) forwardTo(base osconf.Base) {
	e.forward.Set(forward.Table{Default: base.Nameservers, Own: e.ownAddrs()})
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
