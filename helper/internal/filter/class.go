package filter

import (
	"net/netip"
	"slices"
	"strings"
)

// class is subjects that a policy treats alike.
type class struct {
	subject
	names    []string
	from, to []uint16 // rules that name it
}

// between is what the policy lets a open on b.
func (p *Policy) between(a, b *class) (sum Ports) {
	x, y := a.from, b.to
	for len(x) > 0 && len(y) > 0 {
		switch {
		case x[0] < y[0]:
			x = x[1:]
		case x[0] > y[0]:
			y = y[1:]
		default:
			sum = sum.union(p.Allow[x[0]].Ports)
			x, y = x[1:], y[1:]
		}
	}
	return sum
}

// of is the class of one subject.
func (p *Policy) of(u subject, name string) class {
	c := class{subject: u, names: []string{name}}
	for i := range p.Allow {
		if anySelects(p.Allow[i].From, &u, true) {
			c.from = append(c.from, uint16(i))
		}
		if anySelects(p.Allow[i].To, &u, false) {
			c.to = append(c.to, uint16(i))
		}
	}
	return c
}

// devices is each device's class by itself, in the world's order.
func (p *Policy) devices(w *World, pick func([]Selector, func(int))) []class {
	out := make([]class, len(w.Devices))
	for i := range w.Devices {
		out[i].subject, out[i].names = w.Devices[i].subject(), []string{w.Devices[i].Name}
	}
	for i := range p.Allow {
		pick(p.Allow[i].From, func(d int) { out[d].from = append(out[d].from, uint16(i)) })
		pick(p.Allow[i].To, func(d int) { out[d].to = append(out[d].to, uint16(i)) })
	}
	return out
}

// signature is equal for what a policy treats alike.
func (c *class) signature() string {
	var b strings.Builder
	for _, l := range [][]uint16{c.from, c.to} {
		for _, i := range l {
			b.WriteByte(byte(i))
			b.WriteByte(byte(i >> 8))
		}
		b.WriteString("\xff\xff")
	}
	return b.String()
}

// index finds the devices that selectors name without looking at each.
func (w *World) index() func(ss []Selector, each func(device int)) {
	names, tags := map[string][]int{}, map[string][]int{}
	for i := range w.Devices {
		d := &w.Devices[i]
		names[d.Name] = append(names[d.Name], i)
		for _, t := range d.Tags {
			tags[t] = append(tags[t], i)
		}
	}
	mark := make([]int, len(w.Devices))
	round := 0
	return func(ss []Selector, each func(int)) {
		round++
		once := func(i int) {
			if mark[i] != round {
				mark[i] = round
				each(i)
			}
		}
		for _, s := range ss {
			switch s.Kind {
			case SelectDevice:
				for _, i := range names[s.Name] {
					once(i)
				}
			case SelectTag:
				for _, i := range tags[s.Name] {
					once(i)
				}
			case SelectAll:
				for i := range w.Devices {
					once(i)
				}
			case SelectPrefix:
				for i := range w.Devices {
					if slices.ContainsFunc(w.Devices[i].Addrs, s.Prefix.Contains) {
						once(i)
					}
				}
			}
		}
	}
}

// beyondOf is what lies outside the overlay and a policy or an approval names.
func beyondOf(w *World, ps ...*Policy) (names []string, subjects []subject) {
	seen := map[netip.Prefix]bool{}
	add := func(p netip.Prefix) {
		if !seen[p] && !within(w.Networks, p.Addr()) && p.Bits() > 0 && len(subjects) < namesMost {
			seen[p] = true
			names, subjects = append(names, p.String()), append(subjects, outside(p.Addr()))
		}
	}
	names, subjects = append(names, "internet"), append(subjects, outside(anyPublic))
	for i := range w.Devices {
		for _, p := range w.Devices[i].Routes {
			add(p)
		}
	}
	for _, p := range ps {
		for i := range p.Allow {
			for _, s := range p.Allow[i].To {
				if s.Kind == SelectPrefix {
					add(s.Prefix)
				}
			}
		}
	}
	return names, subjects
}
