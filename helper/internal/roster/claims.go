package roster

import (
	"cmp"
	"net/netip"
	"slices"

	"kith.internal/helper/internal/key"
)

// claim is a candidate's claim to something that one alone can have.
type claim[V comparable] struct {
	value V
	by    int32 // the record that claims
	c     *candidate
}

// contest settles the claims in order of depth, clock and ID, whoever the
// claimants turn out to be: what a loser claims besides stays claimed, so
// nothing cascades. It answers the losers in that order.
func contest[V comparable](e *eval, claims []claim[V]) (taken map[V]*claim[V], losers []*claim[V]) {
	taken = make(map[V]*claim[V], len(claims))
	for i := range claims {
		c := &claims[i]
		first := taken[c.value]
		if first == nil {
			taken[c.value] = c
			continue
		}
		if e.claimsBefore(c.by, first.by) < 0 {
			taken[c.value], c = c, first
		}
		losers = append(losers, c)
	}
	slices.SortFunc(losers, func(a, b *claim[V]) int { return e.claimsBefore(a.by, b.by) })
	return taken, losers
}

// claimsBefore is the order of claims: depth, clock, ID.
func (e *eval) claimsBefore(a, b int32) int {
	x, y := &e.nodes[a], &e.nodes[b]
	return cmp.Or(cmp.Compare(x.depth, y.depth), cmp.Compare(x.rec.Clock, y.rec.Clock), compareID(x.rec.ID, y.rec.ID))
}

// claims applies rule 11, once the settings that name and address devices are known.
func (e *eval) claims() {
	n := len(e.cands)
	wg, control := make([]claim[key.Exchange], 0, n), make([]claim[key.Exchange], 0, n)
	six, names := make([]claim[netip.Addr], 0, n), make([]claim[string], 0, n)
	four := make([]claim[uint16], 0, n)
	for _, c := range e.cands {
		a := e.admit(c.keys)
		wg = append(wg, claim[key.Exchange]{a.WG, c.keys, c})
		control = append(control, claim[key.Exchange]{a.Control, c.keys, c})
		six = append(six, claim[netip.Addr]{c.six, c.admits[0], c})
		names = append(names, claim[string]{c.name, c.nameBy, c})
		if c.index != 0 {
			four = append(four, claim[uint16]{c.index, c.indexBy, c})
		}
	}
	lose(e, wg, "its WireGuard key is another device's")
	lose(e, control, "its control key is another device's")
	lose(e, six, "its IPv6 address is another device's")
	_, losers4 := contest(e, four)
	for _, l := range losers4 {
		l.c.lostIndex, l.c.index = true, 0
	}
	taken, losers := contest(e, names)
	for _, l := range losers {
		l.c.lostName = true
		hash := keyHash(l.c.device)
		for digits := 4; ; digits++ {
			l.c.name = suffixed(l.value, hash[:digits])
			if taken[l.c.name] == nil {
				taken[l.c.name] = l
				break
			}
		}
	}
}

// lose ends the membership of those who lose a claim that a member needs.
func lose[V comparable](e *eval, claims []claim[V], why string) {
	_, losers := contest(e, claims)
	for _, l := range losers {
		l.c.member, l.c.lost = false, why
	}
}
