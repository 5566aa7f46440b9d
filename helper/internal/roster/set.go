package roster

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"time"

	"kith.internal/helper/internal/key"
)

// Verdict is what became of a record that was offered to a Set.
type Verdict uint8

const (
	Accepted     Verdict = iota + 1
	Duplicate            // held already
	Pending              // kept in memory until its references are held
	Unacceptable         // never stored; a neighbour that repeats it is dropped
	Full                 // over a quota; acceptable later
	Newer                // of a format in force that this build does not know: not the neighbour's fault
)

func (v Verdict) String() string {
	return [...]string{"none", "accepted", "duplicate", "pending", "unacceptable", "full", "newer"}[v%7]
}

// AddOptions tell where a record comes from.
type AddOptions struct {
	Verified bool       // its signatures were verified before: it comes from our store
	At       time.Time  // of arrival
	From     key.Public // the neighbour that sent it; zero for the store and ourselves
}

// Settled is a record whose verdict came since the last call of Settled: one
// accepted, or one that was pending and turned out unacceptable.
type Settled struct {
	Record  *Record
	At      time.Time
	From    key.Public
	Verdict Verdict
	Err     error
}

// Set holds one network's records. It is not safe for concurrent use; its
// views are.
type Set struct {
	nodes   []node
	byID    map[ID]int32
	pend    pending
	settled []Settled

	view *View // nil when a record came since
	last *View // the last one of a format that this build knows

	quota  quotas
	load   load
	branch map[int32]int // load of each depth-2 grant's subtree
}

// NewSet starts a network's set with its genesis.
func NewSet(genesis []byte) (*Set, error) {
	r, err := Decode(genesis)
	if err != nil {
		return nil, err
	}
	if r.Type != TypeGenesis {
		return nil, fmt.Errorf("%w: a %s as genesis", ErrUnacceptable, r.Type)
	}
	if err := r.Verify(); err != nil {
		return nil, err
	}
	return newSet(r), nil
}

func newSet(genesis *Record) *Set {
	s := &Set{byID: map[ID]int32{}, quota: standard, branch: map[int32]int{}}
	s.pend.init()
	s.insert(node{rec: genesis, prev: -1, target: -1, invite: -1, branch: -1})
	return s
}

// Network is the network's ID.
func (s *Set) Network() ID { return s.nodes[0].rec.ID }

// Name is the network's name.
func (s *Set) Name() string { return s.nodes[0].rec.Body.(*Genesis).Name }

// Root is the root key.
func (s *Set) Root() key.Public { return s.nodes[0].rec.Author }

// Genesis is the first record.
func (s *Set) Genesis() *Record { return s.nodes[0].rec }

// Len is how many records are held.
func (s *Set) Len() int { return len(s.nodes) }

// Has tells whether a record is held.
func (s *Set) Has(id ID) bool { _, ok := s.byID[id]; return ok }

// Get is a record held, or nil.
func (s *Set) Get(id ID) *Record {
	if i, ok := s.byID[id]; ok {
		return s.nodes[i].rec
	}
	return nil
}

// Arrival is when a record arrived; zero if it is not held.
func (s *Set) Arrival(id ID) time.Time {
	if i, ok := s.byID[id]; ok {
		return s.nodes[i].at
	}
	return time.Time{}
}

// All yields the records held with their arrival, each after its references.
func (s *Set) All() iter.Seq2[*Record, time.Time] {
	nodes := s.nodes
	return func(yield func(*Record, time.Time) bool) {
		for i := range nodes {
			if !yield(nodes[i].rec, nodes[i].at) {
				return
			}
		}
	}
}

// Settled hands over what was settled since the last call, in an order in
// which references come first.
func (s *Set) Settled() []Settled {
	out := s.settled
	s.settled = nil
	return out
}

// Add offers a record. Errors go with Unacceptable and Newer and say why. It
// keeps raw.
func (s *Set) Add(raw []byte, o AddOptions) (Verdict, error) {
	r, err := Decode(raw)
	if errors.Is(err, ErrNewer) && s.View().Format > Format {
		return Newer, err
	}
	if err != nil {
		return Unacceptable, fmt.Errorf("%w: %w", ErrUnacceptable, err)
	}
	return s.AddRecord(r, o)
}

// AddRecord is Add for a record that is decoded already.
func (s *Set) AddRecord(r *Record, o AddOptions) (Verdict, error) {
	switch {
	case s.Has(r.ID) || s.pend.has(r.ID):
		return Duplicate, nil
	case r.Network != s.Network() || r.Type == TypeGenesis:
		return Unacceptable, fmt.Errorf("%w: %s of another network", ErrUnacceptable, r.Type)
	}
	if !o.Verified {
		if err := r.Verify(); err != nil {
			return Unacceptable, fmt.Errorf("%w: %w", ErrUnacceptable, err)
		}
	}
	if missing := s.missing(r); len(missing) > 0 {
		if !s.pend.add(r, o, missing) {
			return Full, nil
		}
		return Pending, nil
	}
	v, err := s.settle(r, o)
	if v == Accepted {
		s.wake(r.ID, o.At)
	}
	return v, err
}

// settle gives the verdict on a record whose references are held.
func (s *Set) settle(r *Record, o AddOptions) (Verdict, error) {
	n, err := s.accept(r, o.Verified)
	if err != nil {
		return Unacceptable, fmt.Errorf("%w: %s %s by %s: %w", ErrUnacceptable, r.Type, r.ID.Short(), r.Author.Short(), err)
	}
	if !s.fits(&n) {
		if !s.dropCut() || len(s.missing(r)) > 0 {
			return Full, nil
		}
		if n, err = s.accept(r, true); err != nil || !s.fits(&n) {
			return Full, nil
		}
	}
	n.at = o.At
	s.insert(n)
	s.settled = append(s.settled, Settled{Record: r, At: o.At, From: o.From, Verdict: Accepted})
	return Accepted, nil
}

// wake settles what waited for a record, and what waited for that. It arrives
// now: as it waited nobody stored it.
func (s *Set) wake(id ID, at time.Time) {
	for queue := []ID{id}; len(queue) > 0; queue = queue[1:] {
		for _, w := range s.pend.wake(queue[0]) {
			w.opts.At = at
			switch v, err := s.settle(w.rec, w.opts); v {
			case Accepted:
				queue = append(queue, w.rec.ID)
			case Unacceptable:
				s.settled = append(s.settled, Settled{w.rec, w.opts.At, w.opts.From, v, err})
			}
		}
	}
}

func (s *Set) insert(n node) {
	i := int32(len(s.nodes))
	s.nodes = append(s.nodes, n)
	s.byID[n.rec.ID] = i
	s.count(&n)
	s.view = nil
}

// Clone is an independent set with the same records, without what is pending.
func (s *Set) Clone() *Set {
	c := &Set{
		nodes:  s.nodes[:len(s.nodes):len(s.nodes)],
		byID:   maps.Clone(s.byID),
		view:   s.view,
		last:   s.last,
		quota:  s.quota,
		load:   s.load,
		branch: maps.Clone(s.branch),
	}
	c.pend.init()
	return c
}

// Forget drops records that nothing else held refers to, such as ones that
// could not be stored. It answers those that stay after all.
func (s *Set) Forget(ids ...ID) (kept []ID) {
	drop := make([]bool, len(s.nodes))
	for _, id := range ids {
		if i, ok := s.byID[id]; ok && i > 0 {
			drop[i] = true
		}
	}
	s.drop(drop)
	for _, id := range ids {
		if s.Has(id) {
			kept = append(kept, id)
		}
	}
	return kept
}

// drop rebuilds the set without the nodes marked, but for those that a node
// which stays refers to. It answers what is gone.
func (s *Set) drop(drop []bool) (gone []ID) {
	for i := len(s.nodes) - 1; i >= 0; i-- {
		if !drop[i] {
			for ref := range s.nodes[i].refs() {
				drop[ref] = false
			}
		}
	}
	index := make([]int32, len(s.nodes))
	nodes := make([]node, 0, len(s.nodes))
	for i := range s.nodes {
		if drop[i] {
			gone = append(gone, s.nodes[i].rec.ID)
			continue
		}
		index[i] = int32(len(nodes))
		nodes = append(nodes, s.nodes[i].moved(index))
	}
	if len(gone) == 0 {
		return nil
	}
	s.nodes = nil
	s.byID = make(map[ID]int32, len(nodes))
	s.load, s.branch = load{}, map[int32]int{}
	for _, n := range nodes {
		s.insert(n)
	}
	s.pend.recount(s.missing)
	return gone
}

// refs yields the indices of the references.
func (n *node) refs() iter.Seq[int32] {
	return func(yield func(int32) bool) {
		for _, i := range [...]int32{n.prev, n.target, n.invite} {
			if i >= 0 && !yield(i) {
				return
			}
		}
		for _, i := range n.keep {
			if !yield(i) {
				return
			}
		}
	}
}

// moved is the node with its references renumbered.
func (n node) moved(index []int32) node {
	for _, p := range [...]*int32{&n.prev, &n.grant, &n.target, &n.invite, &n.branch} {
		if *p >= 0 {
			*p = index[*p]
		}
	}
	keep := make([]int32, len(n.keep))
	for i, k := range n.keep {
		keep[i] = index[k]
	}
	n.keep = keep
	return n
}
