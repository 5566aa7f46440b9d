package roster

import (
	"cmp"
	"fmt"
	"slices"
)

// Leave ends a plain device's own membership.
func (a *Author) Leave() (*Record, error) {
	v, m, err := a.member(a.pub)
	if err != nil {
		return nil, err
	}
	if m.Rank < plainRank {
		return nil, fmt.Errorf("leave: %w to one with authority: retire", ErrNotPermitted)
	}
	w := &writer{Author: a, view: v}
	return w.writeBehind(m.Admit.ID, max(Millis(a.now()), m.Admit.Clock+1), &Leave{})
}

// Retire ends one's own authority and membership, after synchronising: a
// self-revocation under every grant, the deepest first, so that the shallower
// ones keep those that they would cut.
func (a *Author) Retire() ([]*Record, error) {
	return a.atOnce(func(a *Author) ([]*Record, error) {
		v := a.set.View()
		grants := slices.Clone(v.grants[a.pub])
		if len(grants) == 0 || a.pub == v.Root {
			return nil, fmt.Errorf("retire: %w to %s", ErrNotPermitted, v.NameOf(a.pub))
		}
		if v.UpgradeRequired {
			return nil, ErrUpgrade
		}
		slices.SortFunc(grants, func(x, y int32) int {
			return cmp.Compare(v.eval.nodes[y].confers(), v.eval.nodes[x].confers())
		})
		var recs []*Record
		for _, g := range grants {
			v := a.set.View()
			w := a.writer(v, g)
			k := v.eval.standing(v.eval.grantsTo(a.pub, int(w.depth)-1))
			if n := len(k.heads) + len(k.leaves); n > MaxKeep {
				return nil, fmt.Errorf("retire: %w records to keep: %d; let another owner remove this device", ErrTooMany, n)
			}
			r, err := w.write(&Revoke{Key: a.pub, Keep: v.eval.idsOf(k.heads, k.leaves)})
			if err != nil {
				return nil, fmt.Errorf("retire: %w", err)
			}
			recs = append(recs, r)
		}
		return recs, nil
	})
}

// atOnce runs a writer of several records on a copy, so that the set gets all or none.
func (a *Author) atOnce(f func(*Author) ([]*Record, error)) ([]*Record, error) {
	scratch := *a
	scratch.set = a.set.Clone()
	recs, err := f(&scratch)
	if err != nil {
		return nil, err
	}
	return recs, a.add(recs)
}

func (a *Author) add(recs []*Record) error {
	for _, r := range recs {
		v, err := a.set.AddRecord(r, AddOptions{Verified: true, At: a.now(), From: a.pub})
		if err != nil {
			return err
		}
		if v != Accepted && v != Duplicate {
			return fmt.Errorf("write %s: the set is %s", r.Type, v)
		}
	}
	return nil
}
