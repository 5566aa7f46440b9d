package roster

import (
	"cmp"
	"slices"

	"kith.internal/helper/internal/key"
)

// oracle applies rules 7 to 12 and 14 as they read, slowly and sharing nothing
// with the evaluator but the record types.
type oracle struct {
	recs  map[ID]*Record
	order []*Record
	live  map[ID]bool
	self  map[ID]bool
	ended map[ID]bool
	rank  map[key.Public]int
}

func newOracle(s *Set) *oracle {
	o := &oracle{recs: map[ID]*Record{}, live: map[ID]bool{}, self: map[ID]bool{}, ended: map[ID]bool{}, rank: map[key.Public]int{}}
	for r := range s.All() {
		o.recs[r.ID] = r
		o.order = append(o.order, r)
	}
	slices.SortFunc(o.order, func(a, b *Record) int { return compareID(a.ID, b.ID) })
	o.liveness()
	return o
}

// grantOf derives the grant that a record was written under, and its depth.
func (o *oracle) grantOf(r *Record) (*Record, int) {
	p := o.recs[r.Prev]
	if p == nil {
		return r, 0
	}
	if g, ok := p.Body.(*Grant); ok && r.Type != TypeLeave && g.Subject == r.Author {
		_, d := o.grantOf(p)
		return p, d + 1
	}
	return o.grantOf(p)
}

func (o *oracle) depth(r *Record) int { _, d := o.grantOf(r); return d }

func (o *oracle) ancestorOrSelf(a, of ID) bool {
	for r := o.recs[of]; r != nil; r = o.recs[r.Prev] {
		if r.ID == a {
			return true
		}
	}
	return false
}

func (o *oracle) kept(r, v *Record) bool {
	return slices.ContainsFunc(v.Body.(*Revoke).Keep, func(k ID) bool { return o.ancestorOrSelf(r.ID, k) })
}

func (o *oracle) liveness() {
	var genesis *Record
	for _, r := range o.order {
		if r.Type == TypeGenesis {
			genesis = r
		}
	}
	o.live[genesis.ID] = true
	level := []*Record{genesis}
	for d := 0; d <= maxDepth; d++ {
		var cutsNow []*Record
		for _, r := range o.order {
			if r.Type == TypeRevoke && o.live[r.ID] {
				cutsNow = append(cutsNow, r)
			}
		}
		var next []*Record
		for _, g := range level {
			next = append(next, o.tree(g, d, cutsNow)...)
		}
		level = next
	}
}

func subjectOf(g *Record) key.Public {
	if b, ok := g.Body.(*Grant); ok {
		return b.Subject
	}
	return g.Author
}

func (o *oracle) tree(g *Record, d int, revokes []*Record) (grants []*Record) {
	var cuts, alive, self []*Record
	for _, v := range revokes {
		b := v.Body.(*Revoke)
		if b.Key == subjectOf(g) || b.Record == g.ID {
			cuts = append(cuts, v)
		}
	}
	for _, r := range o.order {
		if under, _ := o.grantOf(r); under != g || r == g {
			continue
		}
		if !slices.ContainsFunc(cuts, func(v *Record) bool { return !o.kept(r, v) }) {
			alive = append(alive, r)
			if v, ok := r.Body.(*Revoke); ok && v.Key == subjectOf(g) {
				self = append(self, r)
			}
		}
	}
	for _, r := range alive {
		o.self[r.ID] = slices.Contains(self, r)
		ok := o.self[r.ID] || !slices.ContainsFunc(self, func(s *Record) bool { return !o.ancestorOrSelf(r.ID, s.ID) && !o.kept(r, s) })
		if o.live[r.ID] = ok; ok && r.Type == TypeGrant {
			grants = append(grants, r)
		}
	}
	if o.ended[g.ID] = len(cuts)+len(self) > 0; !o.ended[g.ID] {
		if old, ok := o.rank[subjectOf(g)]; !ok || d < old {
			o.rank[subjectOf(g)] = d
		}
	}
	return grants
}

func (o *oracle) rankOf(k key.Public) int {
	if r, ok := o.rank[k]; ok {
		return r
	}
	return 4
}

func (o *oracle) valid(r *Record) bool {
	a, ok := r.Body.(*Admit)
	if !ok || !o.live[r.ID] {
		return false
	}
	if !a.Invite.IsZero() && !o.live[a.Invite] {
		return false
	}
	for _, v := range o.order {
		b, ok := v.Body.(*Revoke)
		if ok && o.live[v.ID] && !a.Invite.IsZero() && b.Record == a.Invite && o.depth(v) < o.rankOf(a.Device) && !o.kept(r, v) {
			return false
		}
	}
	for _, v := range o.order {
		switch b := v.Body.(type) {
		case *Revoke:
			if o.live[v.ID] && b.Key == a.Device && (o.depth(v) < o.rankOf(a.Device) || v.Author == a.Device) {
				return false
			}
		case *Leave:
			if o.live[v.ID] && v.Author == a.Device && o.rankOf(a.Device) == 4 {
				return false
			}
		}
	}
	return true
}

// person is what the oracle says of one device.
type person struct {
	Name    string
	WG      key.Exchange
	Index   uint16
	Governs ID
	Rank    int
	member  bool
}

type bid struct {
	by *Record
	p  *person
	k  key.Public
	v  any
}

// people applies rules 10 and 11.
func (o *oracle) people() map[key.Public]*person {
	all, keys := map[key.Public]*person{}, map[key.Public]*Record{}
	var wg, control, names, four []bid
	for _, r := range o.order {
		if !o.valid(r) {
			continue
		}
		k := r.Body.(*Admit).Device
		p := all[k]
		if p == nil {
			all[k] = &person{Governs: r.ID, Rank: o.rankOf(k), member: true}
			keys[k] = r
			continue
		}
		if o.governs(r, o.recs[p.Governs]) {
			p.Governs = r.ID
		}
		n, m := r.Body.(*Admit).N, keys[k].Body.(*Admit).N
		if n > m || n == m && o.governs(r, keys[k]) {
			keys[k] = r
		}
	}
	values := o.winners(all)
	for k, p := range all {
		g, by := o.recs[p.Governs], o.recs[p.Governs]
		name := g.Body.(*Admit).Name
		if w := values[DevKey(k, FieldName)]; w != nil && len(w.Body.(*Setting).Value) > 0 {
			name, by = string(w.Body.(*Setting).Value), w
		}
		names = append(names, bid{by, p, k, name})
		index, by := uint64(g.Body.(*Admit).IP), g
		if w := values[DevKey(k, FieldIP)]; w != nil {
			index, _ = DecodeUint(w.Body.(*Setting).Value)
			by = w
		}
		if index > 0 {
			four = append(four, bid{by, p, k, uint16(index)})
		}
		a := keys[k].Body.(*Admit)
		p.WG = a.WG
		wg = append(wg, bid{keys[k], p, k, a.WG})
		control = append(control, bid{keys[k], p, k, a.Control})
	}
	for _, bids := range [][]bid{wg, control} {
		_, losers := o.settle(bids)
		for _, l := range losers {
			l.p.member = false
		}
	}
	won, _ := o.settle(four)
	for _, w := range won {
		w.p.Index = w.v.(uint16)
	}
	won, losers := o.settle(names)
	taken := map[string]bool{}
	for _, w := range won {
		w.p.Name = w.v.(string)
		taken[w.p.Name] = true
	}
	for _, l := range losers {
		for n := 4; l.p.Name == ""; n++ {
			if try := l.v.(string) + "-" + keyHash(l.k)[:n]; !taken[try] {
				l.p.Name, taken[try] = try, true
			}
		}
	}
	for k, p := range all {
		if !p.member {
			delete(all, k)
		}
	}
	return all
}

func (o *oracle) governs(a, b *Record) bool {
	return cmp.Or(cmp.Compare(o.depth(a), o.depth(b)), cmp.Compare(b.Clock, a.Clock), compareID(a.ID, b.ID)) < 0
}

func (o *oracle) settle(bids []bid) (won, lost []bid) {
	slices.SortFunc(bids, func(a, b bid) int {
		return cmp.Or(cmp.Compare(o.depth(a.by), o.depth(b.by)), cmp.Compare(a.by.Clock, b.by.Clock), compareID(a.by.ID, b.by.ID))
	})
	taken := map[any]bool{}
	for _, b := range bids {
		if taken[b.v] {
			lost = append(lost, b)
		} else {
			taken[b.v] = true
			won = append(won, b)
		}
	}
	return won, lost
}

// winners applies rule 12; people may hold devices that are no members yet.
func (o *oracle) winners(people map[key.Public]*person) map[string]*Record {
	out := map[string]*Record{}
	for _, r := range o.order {
		b, ok := r.Body.(*Setting)
		if !ok || !o.live[r.ID] {
			continue
		}
		k, _ := parseSetKey(b.Key)
		if k.class == classDev || k.class == classNet {
			p := people[k.device]
			if p == nil || k.class == classDev && o.depth(r) > o.depth(o.recs[p.Governs]) {
				continue
			}
		}
		if w := out[b.Key]; w == nil || cmp.Or(cmp.Compare(r.Clock, w.Clock), cmp.Compare(o.depth(w), o.depth(r)), compareID(r.ID, w.ID)) > 0 {
			out[b.Key] = r
		}
	}
	return out
}
