package roster

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kith.internal/helper/internal/key"
)

// Member is the member with a device key, or nil.
func (v *View) Member(k key.Public) *Member { return v.byKey[k] }

// ByName is the member with a name, or nil.
func (v *View) ByName(name string) *Member { return v.byName[name] }

// ByAddr is the member with an overlay address, or nil.
func (v *View) ByAddr(a netip.Addr) *Member { return v.byAddr[a.Unmap()] }

// ByIndex is the member with an IPv4 index, or nil.
func (v *View) ByIndex(index uint16) *Member { return v.byAddr[Addr4(v.Network, index)] }

// Invite is the live invite with a key, or nil; an unrevoked one if there is any.
func (v *View) Invite(k key.Public) *InviteState { return v.invites[k] }

// Rank is the least depth of a key's authority, member or not; 4 for none.
func (v *View) Rank(k key.Public) int { return int(v.eval.rankOf(k)) }

// Caps are what a key's grants let it do in all.
func (v *View) Caps(k key.Public) (c Caps) {
	for _, g := range v.grants[k] {
		c |= v.grantOf(g).Caps
	}
	return c
}

// Role sums up a key's grants.
func (v *View) Role(k key.Public) (r Role) {
	for _, g := range v.grants[k] {
		r = max(r, v.grantOf(g).role(v.eval.nodes[g].confers()))
	}
	return r
}

func (v *View) grantOf(g int32) *Grant {
	if b, ok := v.eval.nodes[g].rec.Body.(*Grant); ok {
		return b
	}
	return rootGrant
}

// Value is what a set key is set to.
func (v *View) Value(k string) ([]byte, bool) {
	w, _ := v.eval.value(k)
	return w.value, len(w.value) > 0
}

// Setter is the record that set a set key, or nil.
func (v *View) Setter(k string) *Record {
	if w, ok := v.eval.value(k); ok {
		return v.eval.nodes[w.by].rec
	}
	return nil
}

// Values yields the set keys with a prefix and their values, in order of the keys.
func (v *View) Values(prefix string) iter.Seq2[string, []byte] {
	values := map[string][]byte{}
	for k, w := range v.eval.allValues() {
		if strings.HasPrefix(k, prefix) && len(w.value) > 0 {
			values[k] = w.value
		}
	}
	keys := slices.Sorted(maps.Keys(values))
	return func(yield func(string, []byte) bool) {
		for _, k := range keys {
			if !yield(k, values[k]) {
				return
			}
		}
	}
}

// RemovedBy is the revocation in effect against a device or, after a plain
// device's leave, that; nil if there is none.
func (v *View) RemovedBy(k key.Public) *Record {
	if i := v.eval.removedBy(k); i >= 0 {
		return v.eval.nodes[i].rec
	}
	if v.Rank(k) < plainRank {
		return nil
	}
	for i := range v.eval.nodes {
		if r := v.eval.nodes[i].rec; r.Type == TypeLeave && r.Author == k && v.eval.live[i] {
			return r
		}
	}
	return nil
}

// Former names the devices that any admission held is of and that are no members,
// each as its newest one does.
func (v *View) Former() map[key.Public]string {
	last := map[key.Public]*Record{}
	for i := range v.eval.nodes {
		if b, ok := v.eval.nodes[i].rec.Body.(*Admit); ok && v.byKey[b.Device] == nil {
			last[b.Device] = newer(last[b.Device], v.eval.nodes[i].rec)
		}
	}
	names := make(map[key.Public]string, len(last))
	for k, r := range last {
		names[k] = r.Body.(*Admit).Name
	}
	return names
}

// HeldSince is when the first of the records arrived here: of what was before, a
// device that came later cannot tell when it was written. Zero for none.
func (v *View) HeldSince() (at time.Time) {
	for i := range v.eval.nodes {
		if n := v.eval.nodes[i].at; at.IsZero() || !n.IsZero() && n.Before(at) {
			at = n
		}
	}
	return at
}

// NameOf names a key for people: the member's name, "root", or its first digits.
func (v *View) NameOf(k key.Public) string {
	if m := v.byKey[k]; m != nil {
		return m.Name
	}
	if k == v.Root {
		return "root"
	}
	if c := v.eval.cands[k]; c != nil {
		return c.name
	}
	return k.Short()
}

// Digest sums up what is wanted.
func (v *View) Digest() *Digest { d, _ := v.digest(); return d }

// Bucket lists the wanted IDs that begin with b, ascending.
func (v *View) Bucket(b byte) []ID { _, ids := v.digest(); return bucket(ids, b) }

// Wanted yields what is stored and served, in the order to send it in:
// revocations with their references first, and every reference before what refers to it.
func (v *View) Wanted() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for i := range v.eval.sending() {
			if !yield(v.eval.nodes[i].rec) {
				return
			}
		}
	}
}

// Class is how a record held is kept.
type Class uint8

const (
	ClassNone      Class = iota
	ClassWanted          // stored, served, in the digest
	ClassCut             // kept locally for a while
	ClassCollected       // superseded: kept like what is cut
)

// Class tells how a record is kept.
func (v *View) Class(id ID) Class {
	i, ok := v.find(id)
	switch {
	case !ok:
		return ClassNone
	case v.eval.wanted[i]:
		return ClassWanted
	case v.eval.live[i]:
		return ClassCollected
	}
	return ClassCut
}

// Live tells whether a record counts in the evaluation.
func (v *View) Live(id ID) bool {
	i, ok := v.find(id)
	return ok && v.eval.live[i]
}

func (v *View) find(id ID) (int32, bool) { i, ok := v.byID()[id]; return i, ok }
