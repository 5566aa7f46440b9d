package roster

import (
	"kith.internal/helper/internal/key"
)

// eval is what the twenty rules make of the records. It is immutable once made.
type eval struct {
	*tree
	live   []bool
	ended  []bool // of live grants and the genesis: cut or self-cut
	self   []bool // self-cuts: in effect even if another one does not keep them
	wanted []bool
	void   []bool // not to count, whatever keeps them; nil for none

	cuts     map[int32][]int32      // by grant: what cuts it
	selfCuts map[int32][]int32      // by grant
	ofKey    map[key.Public][]int32 // live revocations by target
	ofRecord map[int32][]int32
	rank     map[key.Public]uint8

	cands  map[key.Public]*candidate
	values map[string]setting // but for those of dev/ and net/, which candidates have
	clock  uint64             // the highest live one
}

func evaluate(nodes []node) *eval { return evaluateWithout(nodes, nil) }

func evaluateWithout(nodes []node, void []bool) *eval {
	n := len(nodes)
	flags := make([]bool, 4*n)
	e := &eval{
		tree: newTree(nodes),
		void: void,
		live: flags[:n:n], ended: flags[n : 2*n : 2*n], self: flags[2*n : 3*n : 3*n], wanted: flags[3*n:],
		cuts: map[int32][]int32{}, selfCuts: map[int32][]int32{},
		ofKey: map[key.Public][]int32{}, ofRecord: map[int32][]int32{},
		rank: map[key.Public]uint8{},
	}
	e.judge()
	e.members()
	e.settings()
	e.want()
	return e
}

// subject is whom a grant or the genesis gives authority to.
func (n *node) subject() key.Public {
	if g, ok := n.rec.Body.(*Grant); ok {
		return g.Subject
	}
	return n.rec.Author
}

// judge finds what is live, from the root down (rules 8 and 9). Revocations of
// one depth are known to the next depths alone: equals never touch one another.
func (e *eval) judge() {
	under := e.byGrant()
	e.live[0], e.clock = true, e.nodes[0].rec.Clock
	level := []int32{0}
	for len(level) > 0 {
		subjects := map[key.Public][]int32{}
		var order []key.Public
		for _, g := range level {
			k := e.nodes[g].subject()
			if subjects[k] == nil {
				order = append(order, k)
			}
			subjects[k] = append(subjects[k], g)
		}
		for _, k := range order {
			cuts := e.ofKey[k]
			kept := e.tally(cuts, false)
			for _, g := range subjects[k] {
				e.judgeGrant(g, under(g), cuts, &kept)
			}
		}
		level = e.register(level, under)
	}
}

// judgeGrant finds what is live among a live grant's records.
func (e *eval) judgeGrant(g int32, records, keyCuts []int32, kept *tally) {
	byID := e.ofRecord[g]
	keptByID := e.tally(byID, false)
	subject := e.nodes[g].subject()
	var selfCuts []int32
	for _, i := range records {
		if e.void != nil && e.void[i] || !kept.all(i) || !keptByID.all(i) {
			continue
		}
		e.live[i] = true
		if v, ok := e.nodes[i].rec.Body.(*Revoke); ok && v.Key == subject {
			selfCuts = append(selfCuts, i)
			e.self[i] = true
		}
	}
	if len(selfCuts) > 0 {
		keptBySelf := e.tally(selfCuts, true)
		for _, i := range records {
			e.live[i] = e.live[i] && (e.self[i] || keptBySelf.all(i))
		}
		e.selfCuts[g] = selfCuts
	}
	if len(keyCuts)+len(byID) > 0 {
		e.cuts[g] = append(append(make([]int32, 0, len(keyCuts)+len(byID)), keyCuts...), byID...)
	}
	if e.ended[g] = len(keyCuts)+len(byID)+len(selfCuts) > 0; !e.ended[g] {
		depth := e.nodes[g].confers()
		if r, ok := e.rank[subject]; !ok || depth < r {
			e.rank[subject] = depth
		}
	}
}

// register puts one level's live revocations into effect and answers the grants
// of the next level.
func (e *eval) register(level []int32, under func(int32) []int32) (next []int32) {
	for _, g := range level {
		for _, i := range under(g) {
			if !e.live[i] {
				continue
			}
			e.clock = max(e.clock, e.nodes[i].rec.Clock)
			switch b := e.nodes[i].rec.Body.(type) {
			case *Grant:
				next = append(next, i)
			case *Revoke:
				if t := e.nodes[i].target; t >= 0 {
					e.ofRecord[t] = append(e.ofRecord[t], i)
				} else {
					e.ofKey[b.Key] = append(e.ofKey[b.Key], i)
				}
			}
		}
	}
	return next
}

// byGrant sorts the records by the grant that they were written under.
func (e *eval) byGrant() func(grant int32) []int32 {
	n := len(e.nodes)
	start := make([]int32, n+1)
	for i := 1; i < n; i++ {
		start[e.nodes[i].grant+1]++
	}
	for i := range n {
		start[i+1] += start[i]
	}
	next := append([]int32(nil), start...)
	sorted := make([]int32, n)
	for i := 1; i < n; i++ {
		g := e.nodes[i].grant
		sorted[next[g]] = int32(i)
		next[g]++
	}
	return func(g int32) []int32 { return sorted[start[g]:start[g+1]] }
}

// rankOf is the least depth of a key's authority, or plainRank.
func (e *eval) rankOf(k key.Public) uint8 {
	if r, ok := e.rank[k]; ok {
		return r
	}
	return plainRank
}
