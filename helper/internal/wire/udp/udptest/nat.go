package udptest

import (
	"net/netip"
	"slices"
	"time"
)

// Dependence is on what of the far end a NAT's mapping or filtering depends
// (RFC 4787 §4.1, §5).
type Dependence uint8

const (
	EndpointIndependent Dependence = iota
	AddressDependent
	AddressAndPortDependent
)

// NAT is how a router translates IPv4.
type NAT struct {
	Mapping, Filtering Dependence
	// Random draws the outer port; else the inner one is kept where it is free.
	Random bool
	// Hairpin lets those inside reach one another at their outer addresses,
	// with the outer source (RFC 4787 §6).
	Hairpin bool
	// Accepts has the router itself take what comes unasked, as Linux does
	// without a rule against it. Connection tracking remembers that, and gives a
	// later flow from inside to that far end another port than its own. Home
	// routers drop such packets and remember nothing.
	Accepts bool
	// How long a mapping lives unused: before an answer came, and after. Zero:
	// as in Linux.
	Unreplied, Replied time.Duration
}

// The usual kinds.
var (
	// Masquerade is Linux's, and so most home routers'.
	Masquerade = NAT{Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent}
	// Symmetric draws another port for each far end.
	Symmetric = NAT{Mapping: AddressAndPortDependent, Filtering: AddressAndPortDependent, Random: true}
	// FullCone lets all in at a port that was used once.
	FullCone = NAT{Mapping: EndpointIndependent, Filtering: EndpointIndependent}
	// Carrier maps endpoints one to one and hairpins (RFC 6888 §3).
	Carrier = NAT{Mapping: EndpointIndependent, Filtering: EndpointIndependent, Random: true, Hairpin: true}
)

// mapping ties an inner address to an outer one.
type mapping struct {
	tuple // its remote is what the mapping depends on
	outer netip.AddrPort
	flows map[netip.AddrPort]*flow // by the far end
}

// door is an outer address.
type door struct {
	tcp  bool
	addr netip.AddrPort
}

type nat struct {
	net     *Net
	kind    NAT
	lives   lifetimes
	byInner map[tuple]*mapping
	byOuter map[door][]*mapping
	byFlow  map[tuple]*mapping // by the outer address and the far end; it may be gone
	taken   map[tuple]*flow    // by the router itself
}

func newNAT(n *Net, kind NAT) *nat {
	t := &nat{
		net: n, kind: kind, lives: lifetimes{kind.Unreplied, kind.Replied},
		byInner: map[tuple]*mapping{}, byOuter: map[door][]*mapping{}, byFlow: map[tuple]*mapping{}, taken: map[tuple]*flow{},
	}
	if t.lives.unreplied == 0 {
		t.lives.unreplied = unrepliedLives
	}
	if t.lives.replied == 0 {
		t.lives.replied = repliedLives
	}
	return t
}

// of is the part of a far end that counts.
func (d Dependence) of(remote netip.AddrPort) netip.AddrPort {
	switch d {
	case EndpointIndependent:
		return netip.AddrPort{}
	case AddressDependent:
		return netip.AddrPortFrom(remote.Addr(), 0)
	}
	return remote
}

// out translates what leaves, with outer as the router's own address.
func (t *nat) out(d Datagram, outer netip.Addr) Datagram {
	id := tuple{d.TCP(), d.From, t.kind.Mapping.of(d.To)}
	m := t.byInner[id]
	if m != nil && !m.flows[d.To].alive(m.tcp, t.lives) && !t.alive(m) {
		t.remove(m)
		m = nil
	}
	if m == nil {
		m = &mapping{id, netip.AddrPortFrom(outer, t.port(d, outer)), map[netip.AddrPort]*flow{}}
		t.byInner[id] = m
		at := door{id.tcp, m.outer}
		t.byOuter[at] = append(t.byOuter[at], m)
	}
	f := m.flows[d.To]
	m.flows[d.To] = &flow{time.Now(), f.alive(id.tcp, t.lives) && f.replied}
	t.byFlow[tuple{id.tcp, m.outer, d.To}] = m
	d.From = m.outer
	return d
}

// port picks the outer port of a new mapping.
func (t *nat) port(d Datagram, outer netip.Addr) uint16 {
	if p := d.From.Port(); !t.kind.Random && t.free(d, netip.AddrPortFrom(outer, p)) {
		return p
	}
	for {
		p := uint16(1024 + t.net.rng.IntN(1<<16-1024))
		if t.free(d, netip.AddrPortFrom(outer, p)) {
			return p
		}
	}
}

// free tells whether a new mapping may have the outer address: where mappings
// depend on the far end, several may have it that do not share one.
func (t *nat) free(d Datagram, outer netip.AddrPort) bool {
	if t.taken[tuple{d.TCP(), outer, d.To}].alive(d.TCP(), t.lives) {
		return false
	}
	at := door{d.TCP(), outer}
	for _, m := range slices.Clone(t.byOuter[at]) {
		switch {
		case !t.alive(m):
			t.remove(m)
		case m.remote == t.kind.Mapping.of(d.To):
			return false
		}
	}
	return true
}

// in translates what arrives at an outer address; false: nobody has asked.
func (t *nat) in(d Datagram) (Datagram, bool) {
	at := door{d.TCP(), d.To}
	known := tuple{d.TCP(), d.To, d.From}
	if m := t.byFlow[known]; m != nil && t.byInner[m.tuple] == m && m.flows[d.From].alive(m.tcp, t.lives) {
		m.flows[d.From] = &flow{time.Now(), true}
		d.To = m.inner
		return d, true
	}
	delete(t.byFlow, known)
	if t.kind.Mapping == AddressAndPortDependent && t.kind.Filtering == AddressAndPortDependent {
		t.refuse(d)
		return d, false
	}
	for _, m := range slices.Clone(t.byOuter[at]) {
		if !t.alive(m) {
			t.remove(m)
			continue
		}
		if !t.admits(m, d.From) {
			continue
		}
		m.flows[d.From] = &flow{time.Now(), true}
		d.To = m.inner
		return d, true
	}
	t.refuse(d)
	return d, false
}

// refuse notes what was not asked for, if the router takes it itself.
func (t *nat) refuse(d Datagram) {
	if t.kind.Accepts {
		t.taken[tuple{d.TCP(), d.To, d.From}] = &flow{last: time.Now()}
	}
}

func (t *nat) admits(m *mapping, from netip.AddrPort) bool {
	if m.flows[from].alive(m.tcp, t.lives) {
		return true
	}
	for remote, f := range m.flows {
		if t.kind.Filtering.of(remote) == t.kind.Filtering.of(from) && f.alive(m.tcp, t.lives) {
			return true
		}
	}
	return false
}

func (t *nat) alive(m *mapping) bool {
	for remote, f := range m.flows {
		if f.alive(m.tcp, t.lives) {
			return true
		}
		delete(m.flows, remote)
	}
	return false
}

func (t *nat) remove(m *mapping) {
	delete(t.byInner, m.tuple)
	at := door{m.tcp, m.outer}
	t.byOuter[at] = slices.DeleteFunc(t.byOuter[at], func(o *mapping) bool { return o == m })
}
