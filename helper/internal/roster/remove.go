package roster

import (
	"fmt"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

// RemoveOptions say how much of an admin's work stays.
type RemoveOptions struct {
	Since      time.Time // what arrived here later falls; zero keeps all that is held
	GrantsOnly bool      // demote: the device stays, as a plain one
	Readmit    bool      // devices that would drop with it are admitted anew
}

// Removal is a removal's records, in the order to store and send them in, and
// what they change besides.
type Removal struct {
	Records  []*Record
	Drops    []*Member      // devices that drop with the target
	Returns  []*Member      // devices that come back, as the target's removals fall
	Demoted  []*Member      // devices that lose authority, as the target granted it
	Invites  []*InviteState // that end
	Settings []string       // set keys whose value changes
}

// PlanRemove works out a removal and leaves the set as it is.
func (a *Author) PlanRemove(target key.Public, o RemoveOptions) (*Removal, error) {
	return a.plan(target, func(a *Author) ([]*Record, error) { return a.remove(target, o) })
}

// Remove ends a device with all its authority, or the authority alone.
func (a *Author) Remove(target key.Public, o RemoveOptions) (*Removal, error) {
	r, err := a.PlanRemove(target, o)
	if err != nil {
		return nil, err
	}
	return r, a.Apply(r)
}

// Apply writes a plan. Whatever came since the plan stays as the plan has it.
func (a *Author) Apply(r *Removal) error { return a.add(r.Records) }

func (a *Author) plan(target key.Public, f func(*Author) ([]*Record, error)) (*Removal, error) {
	scratch := *a
	scratch.set = a.set.Clone()
	recs, err := f(&scratch)
	if err != nil {
		return nil, err
	}
	r := compare(a.set.View(), scratch.set.View(), target)
	r.Records = recs
	return r, nil
}

// remove does the duties of rule 18: it re-issues the target's removals that
// stand, then revokes it, keeping what arrived in time.
func (a *Author) remove(target key.Public, o RemoveOptions) ([]*Record, error) {
	if target == a.pub {
		return nil, fmt.Errorf("remove: %w: to end oneself, leave or retire", ErrNotPermitted)
	}
	w, err := a.under("remove", has(CapRemove))
	if err != nil {
		return nil, err
	}
	v, e := w.view, w.view.eval
	if r := v.Rank(target); r <= int(w.depth) {
		return nil, fmt.Errorf("remove %s: %w: it is not below %s", v.NameOf(target), ErrNotPermitted, v.NameOf(a.pub))
	}
	grants := e.grantsTo(target, int(w.depth))
	if o.GrantsOnly {
		grants = slices.DeleteFunc(grants, func(g int32) bool { return e.ended[g] })
	}
	if len(grants) == 0 && (o.GrantsOnly || !e.knows(target)) {
		return nil, fmt.Errorf("remove %s: %w", v.NameOf(target), ErrUnknown)
	}
	var since *time.Time
	if !o.Since.IsZero() {
		since = &o.Since
	}
	if err := w.reissue(grants, target, since); err != nil {
		return nil, err
	}
	if o.GrantsOnly {
		for _, g := range grants {
			if err := w.cut(&Revoke{Record: e.nodes[g].rec.ID}, []int32{g}, since); err != nil {
				return nil, err
			}
		}
	} else if err := w.cut(&Revoke{Key: target}, grants, since); err != nil {
		return nil, err
	}
	if o.Readmit {
		if err := w.readmit(v, target); err != nil {
			return nil, err
		}
	}
	return w.recs, nil
}

// readmit admits anew what dropped out of a view.
func (w *writer) readmit(before *View, target key.Public) error {
	after := w.set.View()
	for _, m := range before.Members {
		if m.Key == target || after.Member(m.Key) != nil || after.RemovedBy(m.Key) != nil {
			continue
		}
		r, err := w.Readmit(m.Key)
		if err != nil {
			return err
		}
		w.recs = append(w.recs, r)
	}
	return nil
}

// cut writes a revocation that keeps what stands of the grants. What there is
// no room to name is written anew by this author, before the revocation.
func (w *writer) cut(b *Revoke, grants []int32, since *time.Time) error {
	e := w.view.eval
	k := e.standing(grants, since)
	if n := len(k.heads); n > MaxKeep {
		k.heads = k.heads[n-MaxKeep:]
	}
	room := MaxKeep - len(k.heads)
	if len(k.leaves) > room {
		for _, i := range k.leaves[room:] {
			if err := w.restate(i); err != nil {
				return err
			}
		}
		k.leaves = k.leaves[:room]
	}
	b.Keep = e.idsOf(k.heads, k.leaves)
	_, err := w.write(b)
	return err
}

// restate says in this author's name what a leaf says, if it counts.
func (w *writer) restate(i int32) error {
	e, n := w.view.eval, &w.view.eval.nodes[i]
	switch b := n.rec.Body.(type) {
	case *Setting:
		if s, _ := e.value(b.Key); s.by != i || !w.maySet(w.view, n.key, b.Key, w.own, w.depth) {
			return nil
		}
		_, err := w.write(&Setting{Key: b.Key, Value: b.Value})
		return err
	case *Leave:
		if e.rankOf(n.rec.Author) < plainRank {
			return nil
		}
		_, err := w.write(&Revoke{Key: n.rec.Author})
		return err
	}
	return nil
}

// reissue repeats those removals under the grants that are in effect and that
// nobody else's cover.
func (w *writer) reissue(grants []int32, target key.Public, since *time.Time) error {
	e := w.view.eval
	for i := range e.nodes {
		n := &e.nodes[i]
		b, ok := n.rec.Body.(*Revoke)
		if !ok || !e.live[i] || !slices.Contains(grants, n.grant) || late(n, since) || b.Key == target {
			continue
		}
		peers := e.ofKey[b.Key]
		if n.target >= 0 {
			peers = e.ofRecord[n.target]
		}
		covered := slices.ContainsFunc(peers, func(p int32) bool {
			return e.nodes[p].depth <= n.depth && !slices.Contains(grants, e.nodes[p].grant) || w.repeated(e.nodes[p].rec)
		})
		if covered || !e.effective(int32(i)) {
			continue
		}
		if _, err := w.write(&Revoke{Key: b.Key, Record: b.Record, Keep: b.Keep}); err != nil {
			return err
		}
	}
	return nil
}

// repeated tells whether this writer has re-issued a revocation of the same target and keep.
func (w *writer) repeated(r *Record) bool {
	b := r.Body.(*Revoke)
	return slices.ContainsFunc(w.recs, func(o *Record) bool {
		x, ok := o.Body.(*Revoke)
		return ok && x.Key == b.Key && x.Record == b.Record && slices.Equal(x.Keep, b.Keep)
	})
}

// effective tells whether a live revocation is senior to its target.
func (e *eval) effective(i int32) bool {
	n := &e.nodes[i]
	if n.target < 0 {
		return n.depth < e.rankOf(n.rec.Body.(*Revoke).Key)
	}
	t := &e.nodes[n.target]
	return t.rec.Type == TypeInvite || n.depth < t.confers()
}

// Readmit admits a device anew by its last admission held: with the same keys
// and proof of possession, and without its invite.
func (a *Author) Readmit(device key.Public) (*Record, error) {
	var last *Admit
	var clock uint64
	for r := range a.set.All() {
		if b, ok := r.Body.(*Admit); ok && b.Device == device && (last == nil || b.N > last.N || b.N == last.N && r.Clock > clock) {
			last, clock = b, r.Clock
		}
	}
	if last == nil {
		return nil, fmt.Errorf("readmit %s: %w", device.Short(), ErrUnknown)
	}
	q := Admission{
		Device: device, WG: last.WG, Control: last.Control, N: last.N, Pop: last.Pop,
		Name: last.Name, Index: last.IP, NoIPv4: last.IP == 0, Expires: Time(last.Expires),
	}
	v := a.set.View()
	for _, t := range last.Tags {
		if slices.ContainsFunc(v.grants[a.pub], func(g int32) bool { return tagsWithin([]string{t}, v.grantOf(g).Tags) }) {
			q.Tags = append(q.Tags, t)
		}
	}
	return a.Admit(q)
}
