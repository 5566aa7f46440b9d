package engine

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"kith.internal/dns"
	"kith.internal/dns/plan"
	"kith.internal/dns/stub"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
)

// DNSAdd adds custom records of a name.
func (e *Engine) DNSAdd(ctx context.Context, _ server.Caller, req ipc.DNSRecordsRequest) (ipc.DNSRecordsAnswer, error) {
	return e.changeRecords(ctx, req, func(n *network) ([]roster.DNSSet, error) {
		added, err := n.readRecords(req)
		if err != nil {
			return nil, err
		}
		for i, s := range added {
			if had := n.valuesOf(s.Name, s.Type); s.Type != "CNAME" { // of which there is but one
				added[i].Values = append(had, s.Values...)
			}
			if err := n.checkRecords(added[i]); err != nil {
				return nil, ipc.Errorf(ipc.CodeUsage, "%s %s: %w", n.local(s.Name), s.Type, err)
			}
		}
		return added, nil
	})
}

// DNSRemove removes custom records of a name.
func (e *Engine) DNSRemove(ctx context.Context, _ server.Caller, req ipc.DNSRecordsRequest) (ipc.DNSRecordsAnswer, error) {
	return e.changeRecords(ctx, req, func(n *network) ([]roster.DNSSet, error) {
		rtype := strings.ToUpper(req.Type)
		var out []roster.DNSSet
		for _, s := range n.book.View().DNS {
			if s.Name != n.rosterName(req.Name, s.Type) || rtype != "" && s.Type != rtype {
				continue
			}
			left := slices.DeleteFunc(slices.Clone(s.Values), func(v string) bool {
				return len(req.Values) == 0 || slices.ContainsFunc(req.Values, func(r string) bool { return n.sameValue(s.Type, v, r) })
			})
			if len(left) < len(s.Values) {
				out = append(out, roster.DNSSet{Name: s.Name, Type: s.Type, Values: left})
			}
		}
		if len(out) == 0 {
			return nil, ipc.Errorf(ipc.CodeNotFound, "%s has no such records in %s", req.Name, n.alias)
		}
		return out, nil
	})
}

// changeRecords writes sets, and says what the name has then.
func (e *Engine) changeRecords(ctx context.Context, req ipc.DNSRecordsRequest, change func(*network) ([]roster.DNSSet, error)) (ipc.DNSRecordsAnswer, error) {
	return call(ctx, e, func() (ipc.DNSRecordsAnswer, error) {
		n, err := e.named(req.Network)
		if err != nil {
			return ipc.DNSRecordsAnswer{}, err
		}
		if n.me() == nil {
			return ipc.DNSRecordsAnswer{}, ipc.Errorf(ipc.CodeNotMember, "this device is no member of %s any more", n.alias)
		}
		sets, err := change(n)
		if err != nil {
			return ipc.DNSRecordsAnswer{}, err
		}
		for _, s := range sets {
			if err := n.write(func(a *roster.Author) error { _, err := a.SetDNS(s.Name, s.Type, s.Values); return err }); err != nil {
				return ipc.DNSRecordsAnswer{}, err
			}
		}
		n.refresh()
		return n.records(func(s roster.DNSSet) bool { return s.Name == sets[0].Name }), nil
	})
}

// DNSList lists the custom records of a network.
func (e *Engine) DNSList(ctx context.Context, _ server.Caller, req ipc.NetworkRequest) (ipc.DNSRecordsAnswer, error) {
	return call(ctx, e, func() (ipc.DNSRecordsAnswer, error) {
		n, err := e.named(req.Network)
		if err != nil {
			return ipc.DNSRecordsAnswer{}, err
		}
		return n.records(func(roster.DNSSet) bool { return true }), nil
	})
}

func (n *network) records(want func(roster.DNSSet) bool) ipc.DNSRecordsAnswer {
	out := ipc.DNSRecordsAnswer{Schema: ipc.Schema, Network: n.alias, Records: []ipc.DNSRecords{}}
	n.zone() // what it refuses is noted
	for _, s := range n.book.View().DNS {
		if want(s) {
			out.Records = append(out.Records, n.describe(s))
		}
	}
	return out
}

// describe is a set for people.
func (n *network) describe(s roster.DNSSet) ipc.DNSRecords {
	v := n.book.View()
	d := ipc.DNSRecords{Name: n.local(s.Name), Type: s.Type, Values: slices.Clone(s.Values), SetBy: v.NameOf(s.By.Author)}
	for i, value := range d.Values {
		d.Values[i] = n.shown(s.Type, value)
	}
	var why error
	if s.Type == "NS" {
		why = n.e.refusesSplit(d.Name)
	}
	for _, r := range n.names.refused {
		if r.Set.Name == s.Name && r.Set.Type == s.Type {
			why = r.Why
		}
	}
	if why != nil {
		d.Why = new(why.Error())
	}
	return d
}

// shown is a value of the roster as it is called here.
func (n *network) shown(rtype, value string) string {
	switch rtype {
	case roster.DNSDevice:
		if k, err := key.Parse(value); err == nil {
			return n.book.View().NameOf(k)
		}
	case "CNAME", "SRV", "MX":
		i := strings.LastIndexByte(value, ' ') + 1
		return value[:i] + n.local(value[i:])
	}
	return value
}

// DNSServe has the stub answer the members of a network too, or no longer.
func (e *Engine) DNSServe(ctx context.Context, c server.Caller, req ipc.DNSServeRequest) (ipc.DNSStatus, error) {
	_, err := call(ctx, e, func() (struct{}, error) {
		n, err := e.named(req.Network)
		if err != nil {
			return struct{}{}, err
		}
		if err := n.updateSettings(func(s *store.Settings) { s.ServeNames = req.On }); err != nil {
			return struct{}{}, writeError(err)
		}
		e.applyDNS()
		return struct{}{}, nil
	})
	if err != nil {
		return ipc.DNSStatus{}, err
	}
	return e.DNSStatus(ctx, c, struct{}{})
}

// DNSRepair sets the system's resolver up anew, also where another program has
// rewritten it so often that it was given up.
func (e *Engine) DNSRepair(ctx context.Context, c server.Caller, _ struct{}) (ipc.DNSStatus, error) {
	_, err := call(ctx, e, func() (struct{}, error) {
		if err := e.dns.Set(plan.OSConfig{}); err != nil {
			e.log.Warn("what stands in the resolver's settings stays", "err", err)
		}
		e.applyDNS()
		e.publishNow()
		return struct{}{}, nil
	})
	if err != nil {
		return ipc.DNSStatus{}, err
	}
	return e.DNSStatus(ctx, c, struct{}{})
}

// DNSStatus says how names resolve on this machine.
func (e *Engine) DNSStatus(ctx context.Context, _ server.Caller, _ struct{}) (ipc.DNSStatus, error) {
	return call(ctx, e, func() (ipc.DNSStatus, error) {
		mode, why := e.dns.Mode()
		table := e.table(e.dns.Base())
		os := plan.Make(e.planned(), e.dns.Abilities()).OS
		s := ipc.DNSStatus{
			Schema: ipc.Schema, Mode: string(mode), Why: why, Sockets: []ipc.DNSSocket{}, Split: []ipc.DNSSplit{}, Refused: []ipc.DNSRecords{},
			Search: filled(os.Search), Match: filled(os.Match), Upstreams: filled(table.Default), Serves: []string{},
		}
		for _, sock := range e.stub.Status() {
			d := ipc.DNSSocket{Network: sock.Network, Addr: sock.Addr}
			if sock.Err != nil {
				d.Error = new(sock.Err.Error())
			}
			s.Sockets = append(s.Sockets, d)
		}
		for _, sp := range e.splits() {
			d := ipc.DNSSplit{Suffix: sp.suffix, Servers: addrsOf(sp.servers), Network: sp.network.alias}
			for _, r := range sp.servers {
				d.Resolvers = append(d.Resolvers, r.String())
			}
			s.Split = append(s.Split, d)
		}
		for _, n := range e.nets {
			if n.set.ServeNames {
				s.Serves = append(s.Serves, n.alias)
			}
			for _, r := range n.records(func(s roster.DNSSet) bool { return n.on != nil }).Records {
				if r.Why != nil {
					s.Refused = append(s.Refused, r)
				} else if r.Type != "NS" {
					s.Records++
				}
			}
		}
		return s, nil
	})
}

func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// DNSQuery asks the stub what a program would ask it.
func (e *Engine) DNSQuery(ctx context.Context, _ server.Caller, req ipc.DNSQueryRequest) (ipc.DNSQueryAnswer, error) {
	types := []string{req.Type}
	if addr, err := netip.ParseAddr(req.Name); err == nil && req.Type == "" {
		req.Name, types = dns.ReverseName(addr.WithZone("")), []string{"PTR"}
	} else if req.Type == "" {
		types = []string{"A", "AAAA"}
	}
	out := ipc.DNSQueryAnswer{Schema: ipc.Schema, Name: strings.TrimSuffix(req.Name, "."), Records: []string{}}
	for _, t := range types {
		r, err := e.stub.Query(ctx, req.Name, t)
		switch {
		case errors.Is(err, stub.ErrQuery):
			return out, ipc.Errorf(ipc.CodeUsage, "%w", err)
		case err != nil:
			return out, ipc.Errorf(ipc.CodeNotConnected, "no resolver answers: %w", err)
		}
		if out.RCode == "" || r.RCode != "NOERROR" {
			out.RCode = r.RCode
		}
		out.Authoritative = r.Authoritative
		for _, rr := range r.Records {
			if !slices.Contains(out.Records, rr) { // a CNAME is before both
				out.Records = append(out.Records, rr)
			}
		}
	}
	return out, nil
}
