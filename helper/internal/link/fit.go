package link

import (
	"fmt"
	"net/netip"
	"slices"
)

// encode spells b with as many endpoints and relays as fit, taken in the
// order of their use to a stranger and written in the order given.
func encode(kind string, b *body, endpoints []netip.AddrPort, relays []Relay) (string, error) {
	fail := func(err error) (string, error) { return "", fmt.Errorf("encode %s link: %w", kind, err) }
	if err := b.check(kind); err != nil {
		return fail(err)
	}
	for _, r := range relays {
		if !isHost(r.Host) {
			return fail(fmt.Errorf("relay %s: its host name has characters of no host name", r.Key.Short()))
		}
	}
	f := newFitter(b, clean(endpoints), relays)
	best, err := spell(kind, b)
	if err != nil {
		return fail(err)
	}
	if len(best) > MaxLen {
		return fail(ErrTooLong)
	}
	for _, add := range f.byUse() {
		undo := *f
		undo.addrs = slices.Clone(f.addrs)
		undo.host = slices.Clone(f.host)
		undo.endpoints = slices.Clone(f.endpoints)
		if !add() {
			continue
		}
		b.Endpoints, b.Relays = f.wire(b)
		s, err := spell(kind, b)
		if err != nil {
			return fail(err)
		}
		if len(s) > MaxLen {
			*f = undo
			continue
		}
		best = s
	}
	return best, nil
}

// fitter holds what could go into a link, and marks what does.
type fitter struct {
	all    []netip.AddrPort
	relays []Relay

	endpoints []bool // all[i] is in
	addrs     []int  // relays[i] is in with so many addresses; -1: it is not
	host      []bool // relays[i].Host is in
}

func newFitter(b *body, endpoints []netip.AddrPort, relays []Relay) *fitter {
	f := &fitter{all: endpoints, endpoints: make([]bool, len(endpoints))}
	for _, r := range relays {
		r.Addrs = clean(r.Addrs)
		if r.Key.IsZero() || r.Control.IsZero() || len(r.Addrs) == 0 && r.Host == "" {
			continue
		}
		if slices.ContainsFunc(f.relays, func(o Relay) bool { return o.Key == r.Key }) {
			continue
		}
		f.relays = append(f.relays, r)
		f.addrs = append(f.addrs, -1)
	}
	f.host = make([]bool, len(f.relays))
	return f
}

// byUse lists the steps from the most useful to the least. Each tells whether
// it changed anything: one relay makes the join work from anywhere, two
// endpoints make it quick, all else is a second chance.
func (f *fitter) byUse() []func() bool {
	var steps []func() bool
	endpoint := func(i int) func() bool {
		return func() bool { f.endpoints[i] = true; return true }
	}
	ranked := rank(f.all)
	first := min(2, len(ranked))
	if len(f.relays) > 0 {
		steps = append(steps, func() bool { return f.enter(0) })
	}
	for _, i := range ranked[:first] {
		steps = append(steps, endpoint(i))
	}
	if len(f.relays) > 0 {
		steps = append(steps, f.complete(0)...)
	}
	for _, i := range ranked[first:] {
		steps = append(steps, endpoint(i))
	}
	for i := 1; i < len(f.relays); i++ {
		steps = append(steps, func() bool { return f.enter(i) })
		steps = append(steps, f.complete(i)...)
	}
	return steps
}

// enter takes relay i in with one way to reach it.
func (f *fitter) enter(i int) bool {
	if len(f.relays[i].Addrs) == 0 {
		f.addrs[i], f.host[i] = 0, true
		return true
	}
	f.addrs[i] = 1
	return true
}

// complete takes in the rest of relay i, if it is in.
func (f *fitter) complete(i int) []func() bool {
	var steps []func() bool
	for n := 2; n <= len(f.relays[i].Addrs); n++ {
		steps = append(steps, func() bool {
			if f.addrs[i] != n-1 {
				return false
			}
			f.addrs[i] = n
			return true
		})
	}
	return append(steps, func() bool {
		if f.addrs[i] < 0 || f.relays[i].Host == "" || f.host[i] {
			return false
		}
		f.host[i] = true
		return true
	})
}

func (f *fitter) wire(b *body) (endpoints [][]byte, relays []relay) {
	for i, a := range f.all {
		if f.endpoints[i] {
			endpoints = append(endpoints, toWire(a))
		}
	}
	for i, r := range f.relays {
		if f.addrs[i] < 0 {
			continue
		}
		w := relay{Key: r.Key, Control: r.Control, Pin: r.Pin}
		if r.Key == b.Sponsor && r.Control == b.Control {
			w.Key, w.Control = [32]byte{}, [32]byte{}
		}
		if f.host[i] {
			w.Host = r.Host
		}
		for _, a := range r.Addrs[:f.addrs[i]] {
			w.Addrs = append(w.Addrs, toWire(a))
		}
		relays = append(relays, w)
	}
	return endpoints, relays
}

// rank orders indexes by use: the first of each class, then the second of
// each, so that four public addresses of one line do not push out the LAN's.
func rank(all []netip.AddrPort) []int {
	var classes [5][]int
	for i, a := range all {
		classes[class(a.Addr())] = append(classes[class(a.Addr())], i)
	}
	var out []int
	for round := 0; len(out) < len(all); round++ {
		for _, c := range classes {
			if round < len(c) {
				out = append(out, c[round])
			}
		}
	}
	return out
}

// class is how likely an address helps where the LAN's multicast does not.
func class(a netip.Addr) int {
	switch {
	case a.IsLinkLocalUnicast():
		return 4
	case a.IsPrivate() && a.Is6():
		return 3
	case a.IsPrivate():
		return 1
	case a.Is6():
		return 2
	}
	return 0
}
