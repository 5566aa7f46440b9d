package engine

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/replica"
)

// Bounds on what a route looks at and gives.
const (
	chainsMost  = 8
	chainsEach  = 3  // over one relay, and over one forwarder
	nearestMost = 32 // first and last hops looked at for longer chains
)

// mesh is who reaches whom without help, as far as it is known here. It is for
// one decision and not safe for concurrent use.
type mesh struct {
	self   key.Public
	relays map[key.Public]bool
	idle   map[key.Public]bool // passes nothing on, or is gone
	edges  map[key.Public]map[key.Public]time.Duration

	// Made on first use, once all is noted.
	nearest map[key.Public][]hop
	first   []hop
}

// What a path costs whose round trip nobody has told, and one that may not be
// there.
const (
	farAway  = 200 * time.Millisecond
	notKnown = time.Minute
)

func newMesh(self key.Public) *mesh {
	return &mesh{
		self: self, relays: map[key.Public]bool{}, idle: map[key.Public]bool{},
		edges: map[key.Public]map[key.Public]time.Duration{}, nearest: map[key.Public][]hop{},
	}
}

// link notes that two devices reach each other; either of them may have said so.
func (m *mesh) link(a, b key.Public, rtt time.Duration) {
	for range 2 {
		if m.edges[a] == nil {
			m.edges[a] = map[key.Public]time.Duration{}
		}
		if old, ok := m.edges[a][b]; !ok || rtt < old {
			m.edges[a][b] = rtt
		}
		a, b = b, a
	}
}

// hear notes a member's own word. A member that is gone reaches nobody.
func (m *mesh) hear(p replica.Presence) {
	m.idle[p.Device] = p.Gone || p.NoForward && !m.relays[p.Device]
	if p.Gone {
		return
	}
	for _, q := range p.Neighbours {
		// What others say of us is judged by our own paths alone.
		if q.ID != m.self && q.ID != p.Device {
			m.link(p.Device, q.ID, time.Duration(max(q.RTT, 1))*time.Millisecond)
		}
	}
}

// hop is a device beside another one.
type hop struct {
	id  key.Public
	rtt time.Duration
}

// beside is the devices beside id that pass packets on, the nearest first.
func (m *mesh) beside(id key.Public) []hop {
	if out, ok := m.nearest[id]; ok {
		return out
	}
	out := make([]hop, 0, len(m.edges[id]))
	for k, rtt := range m.edges[id] {
		if k != m.self && !m.idle[k] {
			out = append(out, hop{k, rtt})
		}
	}
	slices.SortFunc(out, nearer)
	m.nearest[id] = out
	return out
}

func nearer(a, b hop) int {
	return cmp.Or(cmp.Compare(a.rtt, b.rtt), bytes.Compare(a.id[:], b.id[:]))
}

// firsts is whom a chain may begin with: the devices that we reach, and every
// relay, which is sought when it is needed.
func (m *mesh) firsts() []hop {
	if m.first != nil {
		return m.first
	}
	out := slices.Clone(m.beside(m.self))
	for k := range m.relays {
		if _, near := m.edges[m.self][k]; !near && k != m.self && !m.idle[k] {
			out = append(out, hop{k, farAway})
		}
	}
	slices.SortFunc(out, nearer)
	m.first = out
	return out
}

// chain is a way with its cost.
type chain struct {
	hops []key.Public
	rtt  time.Duration
}

func (c chain) compare(d chain) int {
	return cmp.Or(cmp.Compare(c.rtt, d.rtt), slices.CompareFunc(c.hops, d.hops, func(a, b key.Public) int { return bytes.Compare(a[:], b[:]) }))
}

// chains is over whom dest may be reached, the best first: one forwarder, one
// relay, then longer ways; at most eight.
func (m *mesh) chains(dest key.Public) [][]key.Public {
	var relays, forwarders, longer []chain
	for _, a := range m.firsts() {
		if a.id == dest {
			continue
		}
		rtt, known := m.edges[a.id][dest]
		switch {
		case m.relays[a.id]:
			// Every device keeps some; which it keeps now may not be known here yet.
			if !known {
				rtt = notKnown
			}
			relays = append(relays, chain{[]key.Public{a.id}, a.rtt + rtt})
		case known:
			forwarders = append(forwarders, chain{[]key.Public{a.id}, a.rtt + rtt})
		}
	}
	if len(relays)+len(forwarders) < 2 {
		longer = m.longer(dest)
	}
	var out [][]key.Public
	take := func(list []chain, most int) {
		slices.SortFunc(list, chain.compare)
		for _, c := range list[:min(len(list), most, chainsMost-len(out))] {
			out = append(out, c.hops)
		}
	}
	take(forwarders, chainsEach)
	take(relays, chainsEach)
	take(longer, chainsMost)
	return out
}

// longer is the chains of two hops, or of three where there are none.
func (m *mesh) longer(dest key.Public) []chain {
	firsts, lasts := m.firsts(), m.beside(dest)
	firsts, lasts = firsts[:min(len(firsts), nearestMost)], lasts[:min(len(lasts), nearestMost)]
	var two, three []chain
	for _, a := range firsts {
		for _, c := range lasts {
			if a.id == dest || c.id == dest || a.id == c.id {
				continue
			}
			if rtt, ok := m.edges[a.id][c.id]; ok {
				two = append(two, chain{[]key.Public{a.id, c.id}, a.rtt + rtt + c.rtt})
			}
		}
	}
	if len(two) > 0 {
		return two
	}
	for _, a := range firsts {
		middle := m.beside(a.id)
		for _, b := range middle[:min(len(middle), nearestMost)] {
			for _, c := range lasts {
				rtt, ok := m.edges[b.id][c.id]
				if !ok || b.id == dest || a.id == dest || a.id == c.id || b.id == c.id {
					continue
				}
				three = append(three, chain{[]key.Public{a.id, b.id, c.id}, a.rtt + b.rtt + rtt + c.rtt})
			}
		}
	}
	return three
}
