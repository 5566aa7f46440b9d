package roster

import (
	"cmp"
	"crypto/sha256"
	"iter"
	"slices"
)

// want marks what is stored, served and in the digest (rules 14 and 15): what
// is live and the self-cuts, less collected leaves, closed under references.
// The closure comes last: it takes back a leaf that a live revocation lists, and
// one that a dead but wanted revocation does, so that no neighbour misses a reference.
func (e *eval) want() {
	type leaf struct {
		grant int32
		key   string
	}
	latest := map[leaf]int32{}
	for i := range e.nodes {
		n := &e.nodes[i]
		if !e.live[i] && !e.self[i] {
			continue
		}
		e.wanted[i] = true
		b, ok := n.rec.Body.(*Setting)
		if !ok {
			continue
		}
		at := leaf{n.grant, b.Key}
		old, ok := latest[at]
		loser := int32(i)
		if !ok || e.beats(int32(i), old) {
			latest[at], loser = int32(i), old
		}
		if ok {
			e.wanted[loser] = false
		}
	}
	for i := len(e.nodes) - 1; i >= 0; i-- {
		if e.wanted[i] {
			for ref := range e.nodes[i].refs() {
				e.wanted[ref] = true
			}
		}
	}
}

// Digest sums up what is wanted, for comparison with a neighbour's.
type Digest struct {
	Buckets [256][32]byte // SHA-256 over each bucket's sorted IDs; by first byte
	Sum     [32]byte      // SHA-256 over the buckets
}

func (e *eval) ids() []ID {
	ids := make([]ID, 0, len(e.nodes))
	for i := range e.nodes {
		if e.wanted[i] {
			ids = append(ids, e.nodes[i].rec.ID)
		}
	}
	slices.SortFunc(ids, compareID)
	return ids
}

func makeDigest(ids []ID) *Digest {
	d := new(Digest)
	sum := sha256.New()
	for b := range d.Buckets {
		h := sha256.New()
		for _, id := range bucket(ids, byte(b)) {
			h.Write(id[:])
		}
		h.Sum(d.Buckets[b][:0])
		sum.Write(d.Buckets[b][:])
	}
	sum.Sum(d.Sum[:0])
	return d
}

// bucket is the run of sorted IDs that begin with b.
func bucket(ids []ID, b byte) []ID {
	lo, _ := slices.BinarySearchFunc(ids, b, func(id ID, b byte) int { return cmp.Compare(id[0], b) })
	n := 0
	for n < len(ids)-lo && ids[lo+n][0] == b {
		n++
	}
	return ids[lo : lo+n]
}

// sending yields what is wanted, references first, and before all else the
// revocations with theirs.
func (e *eval) sending() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		first := make([]bool, len(e.nodes))
		for i := len(e.nodes) - 1; i >= 0; i-- {
			if e.nodes[i].rec.Type == TypeRevoke && e.wanted[i] {
				first[i] = true
			}
			if first[i] {
				for ref := range e.nodes[i].refs() {
					first[ref] = true
				}
			}
		}
		for _, pass := range [...]bool{true, false} {
			for i := range e.nodes {
				if e.wanted[i] && first[i] == pass && !yield(int32(i)) {
					return
				}
			}
		}
	}
}
