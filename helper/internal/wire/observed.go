package wire

import (
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

const (
	maxObserved   = 4
	observedLives = 10 * time.Minute
)

// sighting is an address of ours as peers see it through a NAT.
type sighting struct {
	addr   netip.AddrPort
	by     [2]key.Public // the zero key: nobody
	at     time.Time
	agreed bool // two peers have seen the same
}

// observed are the latest sightings, those that two peers agree on first.
type observed []sighting

// note adds a sighting; it tells whether our addresses have changed by it.
func (o *observed) note(by key.Public, addr netip.AddrPort, now time.Time) (changed bool) {
	if !addr.IsValid() || addr.Port() == 0 || addr.Addr().IsUnspecified() || addr.Addr().IsMulticast() || addr.Addr().IsLoopback() {
		return false
	}
	n := len(*o)
	*o = slices.DeleteFunc(*o, func(s sighting) bool { return now.Sub(s.at) > observedLives })
	changed = len(*o) != n
	i := slices.IndexFunc(*o, func(s sighting) bool { return s.addr == addr })
	if i < 0 {
		*o = append(*o, sighting{addr: addr, by: [2]key.Public{by}, at: now})
		changed = true
	} else {
		s := &(*o)[i]
		s.at = now
		if s.by[0] != by {
			s.by[1] = by
			changed = changed || !s.agreed
			s.agreed = true
		}
	}
	slices.SortStableFunc(*o, func(a, b sighting) int {
		if a.agreed != b.agreed {
			if a.agreed {
				return -1
			}
			return 1
		}
		return b.at.Compare(a.at)
	})
	*o = (*o)[:min(len(*o), maxObserved)]
	return changed
}

// Candidates are the addresses at which peers may reach us, the best first:
// our own, and what peers see us at. Link-local ones have no zone.
func (w *Wire) Candidates() []netip.AddrPort {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.candidates()
}

func (w *Wire) candidates() (out []netip.AddrPort) {
	for _, ip := range w.local.Load().addrs {
		if ip.Is4() && w.conn.Has4() || ip.Is6() && w.conn.Has6() {
			out = append(out, netip.AddrPortFrom(ip, w.conn.Port()))
		}
	}
	for _, a := range w.mapped {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	for _, s := range w.observed {
		if !slices.Contains(out, s.addr) {
			out = append(out, s.addr)
		}
	}
	return out
}

// natted are the candidates with what kind of NAT is before them.
func (w *Wire) natted(now time.Time) (out []told) {
	var nat [2]NAT // IPv6's, IPv4's
	if len(w.observed) > 0 {
		nat = [2]NAT{w.nat(false, now), w.nat(true, now)}
	}
	for _, a := range w.candidates() {
		t := told{addr: a}
		if slices.ContainsFunc(w.observed, func(s sighting) bool { return s.addr == a }) && !slices.Contains(w.mapped, a) {
			t.nat = nat[0]
			if a.Addr().Is4() {
				t.nat = nat[1]
			}
		}
		out = append(out, t)
	}
	return out
}

// tell tells the peer our candidates, so that both sides probe at once, which
// opens stateful firewalls.
func (p *peer) tell(out *outbox) {
	c := p.c
	if b := c.paths.best; b != nil && c.boot != 0 && !p.removed {
		out.add(p, kindCandidates, c.boot, appendTold(nil, p.wire.natted(time.Now())), b.place, b.src)
	}
}

// tellAll tells all peers that we deal with.
func (w *Wire) tellAll(out *outbox, now time.Time) {
	w.eachContact(func(p *peer) {
		if p.c.seeking(now) || p.c.isActive(now) {
			p.tell(out)
		}
	})
}

// eachContact visits the peers that have state. Callers hold Wire.mu.
func (w *Wire) eachContact(visit func(*peer)) {
	for _, p := range w.dir.Load().byID {
		if p.c == nil {
			continue
		}
		visit(p)
		for _, q := range p.c.instances {
			visit(q)
		}
	}
}
