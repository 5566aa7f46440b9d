package model

import (
	"net/netip"
	"slices"

	"kith.internal/ipc"
)

// LAN is a local network, and whether it stays reachable beside an exit node once
// the switch for local networks is on.
type LAN struct {
	Prefix netip.Prefix
	Here   bool // this device is connected to it
	On     bool
}

// lans gathers the local networks. Of what is chosen, a prefix that holds one of
// those here is not shown beside it.
func lans(x ipc.Exit) (out []LAN) {
	for _, p := range x.Local {
		out = append(out, LAN{p, true, len(x.LANs) == 0 || slices.ContainsFunc(x.LANs, holds(p))})
	}
	for _, p := range x.LANs {
		if !slices.ContainsFunc(x.Local, func(l netip.Prefix) bool { return holds(l)(p) }) {
			out = append(out, LAN{Prefix: p, On: true})
		}
	}
	return out
}

// holds tells whether a prefix has all of p in it.
func holds(p netip.Prefix) func(netip.Prefix) bool {
	return func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) }
}

func (e Exit) choose(on func(LAN) bool) (out []netip.Prefix) {
	for _, l := range e.LANs {
		if on(l) {
			out = append(out, l.Prefix)
		}
	}
	return out
}

// SwitchLAN is what to ask for so that one local network stays reachable, or does
// not: without any left, none does.
func (e Exit) SwitchLAN(p netip.Prefix, on bool) (allow bool, only []netip.Prefix) {
	only = e.choose(func(l LAN) bool {
		if l.Prefix == p {
			return on
		}
		return l.On
	})
	return len(only) > 0, only
}

// SwitchAllLANs is what to ask for so that all stay reachable, or those here and
// no others.
func (e Exit) SwitchAllLANs(on bool) (allow bool, only []netip.Prefix) {
	if on {
		return true, nil
	}
	return e.SwitchLAN(netip.Prefix{}, true)
}
