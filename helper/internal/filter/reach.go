package filter

import "slices"

// Change is what one may open on another, or may not any more.
type Change struct {
	From, To string
	Ports    Ports
}

// Changes is what another policy gives and takes. Of very many, the first are
// listed, and More says that there are others.
type Changes struct {
	Gains, Loses         []Change
	MoreGains, MoreLoses int
	Partial              bool // there were too many to compare all: there may be others
}

const (
	changesMost = 500
	pairsMost   = 2_000_000 // pairs of classes that are compared
)

// Compare tells who gains and loses what when next follows old.
func Compare(old, next *Policy, w *World) Changes { return compare(old, next, w, pairsMost) }

func compare(old, next *Policy, w *World, budget int) (c Changes) {
	groups := c.groups(old, next, w)
	for i := range groups {
		for j := range groups {
			a, b := &groups[i], &groups[j]
			if a.old.out || a.old.share != "" && b.old.share != "" {
				continue
			}
			if budget--; budget < 0 {
				c.Partial = true
				return c
			}
			was, is := old.between(&a.old, &b.old), next.between(&a.next, &b.next)
			if a.old.share != "" || b.old.share != "" {
				was, is = was.Both(a.limit(b)), is.Both(a.limit(b))
			}
			pairs(&c.Gains, &c.MoreGains, a, b, i == j, is.Less(was))
			pairs(&c.Loses, &c.MoreLoses, a, b, i == j, was.Less(is))
		}
	}
	return c
}

// group is subjects that both policies treat alike.
type group struct {
	old, next class
	names     []string
	guest     *Guest
}

// limit is what a share opens between two groups.
func (a *group) limit(b *group) Ports {
	g, device, back := a.guest, b, false
	if g == nil {
		g, device, back = b.guest, a, true
	}
	switch {
	case device.old.out && g.Exit && !back && Public(device.old.addrs[0]):
		return AllPorts
	case device.old.out || back && !g.Out, !back && !g.In:
		return Ports{}
	case len(g.To) > 0 && !slices.Contains(g.To, device.old.name):
		return Ports{}
	}
	return g.Ports.union(Echo)
}

func (c *Changes) groups(old, next *Policy, w *World) (out []group) {
	pick := w.index()
	was, is := old.devices(w, pick), next.devices(w, pick)
	at := map[string]int{}
	targets := map[string]bool{}
	for i := range w.Guests {
		for _, n := range w.Guests[i].To {
			targets[n] = true
		}
	}
	for i := range was {
		sig := was[i].signature() + is[i].signature()
		if targets[was[i].name] {
			sig += was[i].name // alone: a share tells it from others
		}
		g, ok := at[sig]
		if !ok {
			g = len(out)
			at[sig] = g
			out = append(out, group{old: was[i], next: is[i]})
		}
		out[g].names = append(out[g].names, was[i].name)
	}
	for i := range w.Guests {
		g := &w.Guests[i]
		out = append(out, group{old: old.of(g.subject(), g.Label), next: next.of(g.subject(), g.Label), names: []string{g.Label}, guest: g})
	}
	names, subjects := beyondOf(w, old, next)
	for i, u := range subjects {
		out = append(out, group{old: old.of(u, names[i]), next: next.of(u, names[i]), names: names[i : i+1]})
	}
	return out
}

// pairs lists a change for all of two groups.
func pairs(list *[]Change, more *int, a, b *group, same bool, p Ports) {
	if p.Empty() {
		return
	}
	if len(*list) >= changesMost {
		n := len(a.names) * len(b.names)
		if same {
			n -= len(a.names)
		}
		*more += n
		return
	}
	for _, x := range a.names {
		for _, y := range b.names {
			switch {
			case same && x == y:
			case len(*list) < changesMost:
				*list = append(*list, Change{x, y, p})
			default:
				*more++
			}
		}
	}
}

// Reach tells who may open what on a device, and what it may open elsewhere. An
// unknown name has nothing.
func Reach(p *Policy, w *World, device string) (from, to []Change) {
	at := slices.IndexFunc(w.Devices, func(d Device) bool { return d.Name == device })
	if at < 0 {
		return nil, nil
	}
	all := p.devices(w, w.index())
	me := group{old: all[at]}
	add := func(list *[]Change, a, b string, q Ports) {
		if !q.Empty() {
			*list = append(*list, Change{a, b, q})
		}
	}
	for i := range all {
		if i != at {
			add(&from, all[i].name, device, p.between(&all[i], &me.old))
			add(&to, device, all[i].name, p.between(&me.old, &all[i]))
		}
	}
	for i := range w.Guests {
		g := group{old: p.of(w.Guests[i].subject(), w.Guests[i].Label), guest: &w.Guests[i]}
		add(&from, g.guest.Label, device, p.between(&g.old, &me.old).Both(g.limit(&me)))
		add(&to, device, g.guest.Label, p.between(&me.old, &g.old).Both(me.limit(&g)))
	}
	names, subjects := beyondOf(w, p)
	for i, u := range subjects {
		c := p.of(u, names[i])
		add(&to, device, names[i], p.between(&me.old, &c))
	}
	return from, to
}
