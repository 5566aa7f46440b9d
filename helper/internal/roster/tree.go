package roster

import (
	"cmp"
	"math/bits"
	"slices"
	"sort"
)

// tree numbers the records in preorder along prev, so that a record's
// descendants are the run of numbers behind its own.
type tree struct {
	nodes []node
	pos   []int32   // number of each node
	size  []int32   // of its subtree, itself included
	up    [][]int32 // up[k][p] = least number of a parent among those of numbers p to p+2^k-1
}

func newTree(nodes []node) *tree {
	n := len(nodes)
	buf := make([]int32, 3*n)
	t := &tree{nodes: nodes, pos: buf[:n], size: buf[n : 2*n]}
	next := buf[2*n:]
	for i := n - 1; i >= 0; i-- {
		t.size[i]++
		if p := nodes[i].prev; p >= 0 {
			t.size[p] += t.size[i]
		}
	}
	for i := range nodes {
		if p := nodes[i].prev; p >= 0 {
			t.pos[i] = next[p]
			next[p] += t.size[i]
		}
		next[i] = t.pos[i] + 1
	}
	return t
}

// meet is the number of the last common ancestor of numbers a < b: the least
// parent among the numbers after a, up to b.
func (t *tree) meet(a, b int32) int32 {
	if t.up == nil {
		t.prepare()
	}
	k := bits.Len32(uint32(b-a)) - 1
	return min(t.up[k][a+1], t.up[k][b+1-1<<k])
}

func (t *tree) prepare() {
	n := len(t.nodes)
	row := make([]int32, n)
	for i := range t.nodes {
		if p := t.nodes[i].prev; p >= 0 {
			row[t.pos[i]] = t.pos[p]
		}
	}
	t.up = append(t.up, row)
	for w := 1; 2*w <= n; w *= 2 {
		last := t.up[len(t.up)-1]
		row := make([]int32, n-2*w+1)
		for p := range row {
			row[p] = min(last[p], last[p+w])
		}
		t.up = append(t.up, row)
	}
}

// tally answers by how many of some revocations a record is kept.
type tally struct {
	t   *tree
	pos []int32
	sum []int32 // of the weights up to pos
	n   int32   // how many revocations there are
}

// tally counts revocations whose keep has the record or a descendant of it;
// with self the revocation itself counts like one it keeps. A revocation weighs
// 1 at each record that it keeps and -1 where two neighbours among them meet,
// so that a subtree with any of them weighs 1 in all.
func (t *tree) tally(revokes []int32, self bool) tally {
	type weight struct{ pos, w int32 }
	var ws []weight
	var own []int32
	for _, v := range revokes {
		own = own[:0]
		for _, k := range t.nodes[v].keep {
			own = append(own, t.pos[k])
		}
		if self {
			own = append(own, t.pos[v])
		}
		slices.Sort(own)
		own = slices.Compact(own)
		for i, p := range own {
			ws = append(ws, weight{p, 1})
			if i > 0 {
				ws = append(ws, weight{t.meet(own[i-1], p), -1})
			}
		}
	}
	slices.SortFunc(ws, func(a, b weight) int { return cmp.Compare(a.pos, b.pos) })
	out := tally{t: t, n: int32(len(revokes)), pos: make([]int32, len(ws)), sum: make([]int32, len(ws)+1)}
	for i, w := range ws {
		out.pos[i] = w.pos
		out.sum[i+1] = out.sum[i] + w.w
	}
	return out
}

// all tells whether every one of the revocations keeps record i.
func (y *tally) all(i int32) bool {
	if y.n == 0 {
		return true
	}
	from := y.t.pos[i]
	to := from + y.t.size[i]
	lo := sort.Search(len(y.pos), func(k int) bool { return y.pos[k] >= from })
	hi := lo + sort.Search(len(y.pos)-lo, func(k int) bool { return y.pos[lo+k] >= to })
	return y.sum[hi]-y.sum[lo] == y.n
}

// keeps tells whether revocation v keeps record i.
func (t *tree) keeps(v, i int32) bool {
	from, to := t.pos[i], t.pos[i]+t.size[i]
	return slices.ContainsFunc(t.nodes[v].keep, func(k int32) bool { return t.pos[k] >= from && t.pos[k] < to })
}
