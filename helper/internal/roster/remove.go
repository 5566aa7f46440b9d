package roster

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

// RemoveOptions say how much of an admin's work stays.
type RemoveOptions struct {
	Since      time.Time // what arrived here later falls; zero keeps all that is held
	GrantsOnly bool      // demote: the device stays, as a plain one
	Readmit    bool      // devices that would drop with it are admitted anew, but for those that Since drops

	with []key.Public // whose late records do not count either
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
	Undone   int            // records that end with it
	Early    int            // of those, dated before Since: they were made or dated back before, and came here later
}

// PlanRemove works out a removal and leaves the set as it is.
func (a *Author) PlanRemove(target key.Public, o RemoveOptions) (*Removal, error) {
	return a.plan([]key.Public{target}, o.Since, func(a *Author) ([]*Record, error) { return a.remove(target, o) })
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

func (a *Author) plan(targets []key.Public, since time.Time, f func(*Author) ([]*Record, error)) (*Removal, error) {
	scratch := *a
	scratch.set = a.set.Clone()
	recs, err := f(&scratch)
	if err != nil {
		return nil, err
	}
	before, after := a.set.View(), scratch.set.View()
	r := compare(before, after, targets)
	r.Records = recs
	for i := range before.eval.nodes {
		n := &before.eval.nodes[i]
		if !before.eval.live[i] || after.Live(n.rec.ID) {
			continue
		}
		r.Undone++
		if !since.IsZero() && n.at.After(since) && n.rec.Clock < Millis(since) {
			r.Early++
		}
	}
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
	if !o.Since.IsZero() {
		e = e.before(o.Since, append(o.with, target))
	}
	if r := min(v.Rank(target), int(e.rankOf(target))); r <= int(w.depth) {
		return nil, fmt.Errorf("remove %s: %w: it is not below %s", v.NameOf(target), ErrNotPermitted, v.NameOf(a.pub))
	}
	grants := e.grantsTo(target, int(w.depth))
	if o.GrantsOnly {
		grants = slices.DeleteFunc(grants, func(g int32) bool { return v.eval.ended[g] })
	}
	if len(grants) == 0 && (o.GrantsOnly || !e.knows(target)) {
		return nil, fmt.Errorf("remove %s: %w", v.NameOf(target), ErrUnknown)
	}
	if err := w.reissue(e, grants, target); err != nil {
		return nil, err
	}
	if err := w.revive(e, target); err != nil {
		return nil, err
	}
	if o.GrantsOnly {
		for _, g := range grants {
			if err := w.cut(e, &Revoke{Record: e.nodes[g].rec.ID}, []int32{g}); err != nil {
				return nil, err
			}
		}
	} else if err := w.cut(e, &Revoke{Key: target}, grants); err != nil {
		return nil, err
	}
	if o.Readmit {
		if err := w.readmit(e, target); err != nil {
			return nil, err
		}
	}
	return w.recs, nil
}

// readmit admits anew who is a member by what stands and would be none, and
// this device whoever let it in.
func (w *writer) readmit(e *eval, target key.Public) error {
	after := w.set.View()
	for _, c := range e.candidates() {
		if !c.member || c.device == target || after.Member(c.device) != nil || after.RemovedBy(c.device) != nil {
			continue
		}
		if err := w.readmitBy(e.lastOf(c.admits), true); err != nil {
			return err
		}
	}
	if w.view.Member(w.pub) == nil || w.set.View().Member(w.pub) != nil {
		return nil
	}
	c := w.view.eval.cands[w.pub]
	return w.readmitBy(w.view.eval.lastOf(c.admits), false)
}

func (w *writer) readmitBy(last *Record, tags bool) error {
	r, err := w.admitBy(last, tags)
	if err == nil {
		w.recs = append(w.recs, r)
	}
	return err
}

// candidates are all of them, ascending by key.
func (e *eval) candidates() []*candidate {
	return slices.SortedFunc(maps.Values(e.cands), func(a, b *candidate) int { return bytes.Compare(a.device[:], b.device[:]) })
}

// lastOf is the admission with the newest keys.
func (e *eval) lastOf(admits []int32) (last *Record) {
	for _, i := range admits {
		last = newer(last, e.nodes[i].rec)
	}
	return last
}

// newer is the one of two admissions of a device that counts its keys higher;
// the first may be nil.
func newer(a, b *Record) *Record {
	if a == nil || cmp.Or(cmp.Compare(b.Body.(*Admit).N, a.Body.(*Admit).N), cmp.Compare(b.Clock, a.Clock)) > 0 {
		return b
	}
	return a
}

// cut writes a revocation that keeps what stands of the grants. What there is
// no room to name is written anew by this author, before the revocation.
func (w *writer) cut(e *eval, b *Revoke, grants []int32) error {
	k := e.standing(grants)
	if n := len(k.heads); n > MaxKeep {
		k.heads = k.heads[n-MaxKeep:]
	}
	room := MaxKeep - len(k.heads)
	if len(k.leaves) > room {
		for _, i := range k.leaves[room:] {
			if err := w.restate(e, i); err != nil {
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
func (w *writer) restate(e *eval, i int32) error {
	n := &e.nodes[i]
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
func (w *writer) reissue(e *eval, grants []int32, target key.Public) error {
	for i := range e.nodes {
		n := &e.nodes[i]
		b, ok := n.rec.Body.(*Revoke)
		if !ok || !e.live[i] || !slices.Contains(grants, n.grant) || b.Key == target {
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
// and proof of possession, and without its invite. The tags that who has been
// removed since gave it are not given again.
func (a *Author) Readmit(device key.Public) (*Record, error) {
	var last *Record
	for r := range a.set.All() {
		if b, ok := r.Body.(*Admit); ok && b.Device == device {
			last = newer(last, r)
		}
	}
	if last == nil {
		return nil, fmt.Errorf("readmit %s: %w", device.Short(), ErrUnknown)
	}
	return a.admitBy(last, a.set.View().RemovedBy(last.Author) == nil)
}

// admitBy says again what an admission says, as far as this author may.
func (a *Author) admitBy(r *Record, tags bool) (*Record, error) {
	last, v := r.Body.(*Admit), a.set.View()
	q := Admission{
		Device: last.Device, WG: last.WG, Control: last.Control, N: last.N, Pop: last.Pop,
		Name: last.Name, Index: last.IP, NoIPv4: last.IP == 0, Expires: Time(last.Expires),
	}
	for _, t := range last.Tags {
		if tags && slices.ContainsFunc(v.grants[a.pub], func(g int32) bool { return tagsWithin([]string{t}, v.grantOf(g).Tags) }) {
			q.Tags = append(q.Tags, t)
		}
	}
	return a.Admit(q)
}
