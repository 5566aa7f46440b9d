package router

import (
	"fmt"
	"net/netip"
	"slices"
)

type opKind int

const (
	opDelRoute opKind = iota
	opDelAddr
	opSetMTU
	opSetUp
	opAddAddr
	opAddRoute
	opSetDown
)

var opNames = [...]string{"delete route", "delete address", "set MTU", "set up", "add address", "add route", "set down"}

// op is one change to an interface.
type op struct {
	kind   opKind
	prefix netip.Prefix // of addresses and routes
	mtu    int          // of opSetMTU
}

func (o op) String() string {
	switch o.kind {
	case opSetMTU:
		return fmt.Sprintf("%s %d", opNames[o.kind], o.mtu)
	case opSetUp, opSetDown:
		return opNames[o.kind]
	}
	return fmt.Sprintf("%s %s", opNames[o.kind], o.prefix)
}

// plan is the changes that lead from have to want, in an order that never
// takes an interface's last address while another one is to come: systems drop
// the routes with it.
func plan(have, want state) []op {
	var ops []op
	each := func(kind opKind, list, but []netip.Prefix) {
		for _, p := range list {
			if _, in := slices.BinarySearchFunc(but, p, netip.Prefix.Compare); !in {
				ops = append(ops, op{kind: kind, prefix: p})
			}
		}
	}
	// An address with another prefix length is in its own way.
	var first, last []netip.Prefix
	for _, p := range have.addrs {
		if slices.ContainsFunc(want.addrs, func(w netip.Prefix) bool { return w != p && w.Addr() == p.Addr() }) {
			first = append(first, p)
		} else {
			last = append(last, p)
		}
	}
	each(opDelRoute, have.routes, want.routes)
	each(opDelAddr, first, want.addrs)
	if want.mtu != 0 && want.mtu != have.mtu {
		ops = append(ops, op{kind: opSetMTU, mtu: want.mtu})
	}
	if want.up && !have.up {
		ops = append(ops, op{kind: opSetUp})
	}
	each(opAddAddr, want.addrs, have.addrs)
	each(opDelAddr, last, want.addrs)
	each(opAddRoute, want.routes, have.routes)
	if have.up && !want.up {
		ops = append(ops, op{kind: opSetDown})
	}
	return ops
}
