package egress

import (
	"errors"
	"slices"
)

// wfpStore is the platform's filters.
type wfpStore interface {
	// base makes what filters belong to, or removes it, where it has none.
	base(on bool) error
	// add adds a filter. That one of that name stands is success.
	add(wfpFilter) error
	// remove removes one. That there is none is success.
	remove(l wfpLayer, name string) error
	// luid is what the platform calls an interface; false: it is gone.
	luid(index int) (uint64, bool)
}

type wfpID struct {
	layer wfpLayer
	name  string
}

func (f wfpFilter) id() wfpID { return wfpID{f.layer, f.name} }

// wfpGuard keeps a store in line. The zero value does not know what stands there.
type wfpGuard struct {
	known bool
	have  []wfpFilter // in the order in which they were added
}

// set makes the filters be as the configuration says. Between the two, nothing
// passes that both of them block.
func (g *wfpGuard) set(s wfpStore, c Config) error {
	want, err := c.wfp()
	if err != nil {
		return err
	}
	want = resolve(s, want)
	if !g.known {
		err = g.anew(s, want)
	} else {
		err = g.change(s, want)
	}
	g.known = err == nil
	return err
}

// resolve puts LUIDs in the place of indexes, and leaves out what is gone.
func resolve(s wfpStore, filters []wfpFilter) (out []wfpFilter) {
	for _, f := range filters {
		f.match = slices.Clone(f.match)
		here := true
		for i, m := range f.match {
			if m.field == wfpInterface || m.field == wfpOnward {
				f.match[i].number, here = s.luid(int(m.number))
			}
		}
		if here {
			out = append(out, f)
		}
	}
	return out
}

// anew removes what an earlier process has left, all but what blocks first.
func (g *wfpGuard) anew(s wfpStore, want []wfpFilter) error {
	var errs []error
	all := len(want) > 0
	g.have = nil
	if !all && s.base(false) == nil {
		return nil // what still has filters would not have gone
	}
	if all {
		if err := s.base(true); err != nil {
			return err
		}
		for l := range wfpLayers {
			errs = append(errs, s.add(wfpFilter{name: "all", layer: l, weight: weightAll, block: true}))
		}
	}
	names := wfpNames()
	slices.Reverse(names) // what blocks goes last
	for _, name := range names {
		for l := range wfpLayers {
			if name != "all" || !all {
				errs = append(errs, s.remove(l, name))
			}
		}
	}
	if !all {
		return errors.Join(append(errs, s.base(false))...)
	}
	for _, f := range want {
		if f.name != "all" {
			errs = append(errs, s.add(f))
		}
	}
	g.have = want
	return errors.Join(errs...)
}

// change brings in what blocks before, and takes it away after, all else.
func (g *wfpGuard) change(s wfpStore, want []wfpFilter) error {
	var errs []error
	if len(g.have) == 0 && len(want) > 0 {
		if err := s.base(true); err != nil {
			return err
		}
	}
	has := func(list []wfpFilter, f wfpFilter) bool {
		return slices.ContainsFunc(list, func(o wfpFilter) bool { return o.id() == f.id() && o.String() == f.String() })
	}
	add := func(block bool) {
		for _, f := range want {
			if f.block == block && !has(g.have, f) {
				errs = append(errs, s.add(f))
			}
		}
	}
	remove := func(block bool) {
		for _, f := range g.have {
			if f.block == block && !has(want, f) {
				errs = append(errs, s.remove(f.layer, f.name))
			}
		}
	}
	add(true)
	remove(false)
	add(false)
	remove(true)
	if len(g.have) > 0 && len(want) == 0 {
		errs = append(errs, s.base(false))
	}
	g.have = want
	return errors.Join(errs...)
}
