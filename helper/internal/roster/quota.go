package roster

// quotas bound what a set holds. They are never rules of evaluation: what does
// not fit now is taken later.
type quotas struct {
	all      int // records
	reserved int // more for owners and the root
	branch   int // a depth-2 grant's subtree
	cut      int // held besides, cut and kept for a while
}

var standard = quotas{all: 20000, reserved: 4096, branch: 8192, cut: 16384}

// load counts records, large ones as the 4 KiB pieces that they fill.
type load struct{ wanted, held int }

func (n *node) units() int { return (len(n.rec.Raw) + MaxRecord - 1) / MaxRecord }

func (s *Set) count(n *node) {
	u := n.units()
	s.load.wanted += u
	s.load.held += u
	if n.branch >= 0 {
		s.branch[n.branch] += u
	}
}

// fits tells whether a quota leaves room. The root's own always fit: nobody
// may fill a set so that the thief cannot be removed.
func (s *Set) fits(n *node) bool {
	if n.depth == 0 {
		return true
	}
	u := n.units()
	limit := s.quota.all
	if n.depth == 1 {
		limit += s.quota.reserved
	}
	over := func() bool {
		return s.load.wanted+u > limit || s.load.held+u > limit+s.quota.cut ||
			n.branch >= 0 && s.branch[n.branch]+u > s.quota.branch
	}
	if !over() || s.named(n.rec.ID) {
		return true
	}
	s.View() // counts anew what is wanted
	return !over()
}

// named tells whether a revocation that waits for the record, or for one that
// waits for it, would be accepted once all are here: what it keeps must pass.
func (s *Set) named(id ID) bool {
	seen := map[ID]bool{}
	for queue := []ID{id}; len(queue) > 0 && len(seen) < s.quota.all; queue = queue[1:] {
		for _, w := range s.pend.for_[queue[0]] {
			if seen[w] {
				continue
			}
			seen[w] = true
			if s.willLive(s.pend.byID[w].rec) {
				return true
			}
			queue = append(queue, w)
		}
	}
	return false
}

// willLive tells whether a pending revocation comes from live authority.
func (s *Set) willLive(r *Record) bool {
	prev, ok := s.byID[r.Prev]
	if r.Type != TypeRevoke || !ok {
		return false
	}
	n := node{rec: r, prev: prev}
	if s.place(&n) != nil || s.own(n.grant).Caps&CapRemove == 0 {
		return false
	}
	e := s.View().eval
	return e.live[n.grant] && !e.ended[n.grant]
}

// dropCut forgets all that is cut if there is too much of it. It tells whether
// that made room.
func (s *Set) dropCut() bool {
	if s.load.held < s.quota.all+s.quota.cut {
		return false
	}
	e := s.View().eval
	drop := make([]bool, len(s.nodes))
	for i := range drop {
		drop[i] = !e.wanted[i]
	}
	return len(s.drop(drop)) > 0
}
