package filter

import (
	"fmt"
	"slices"
)

// Check tells what is wrong with a policy in a network: names that it does not
// have, tests that fail, and that no admin could open a connection any more.
func Check(p *Policy, w *World) []Fault {
	c := &checker{p: p, w: w, devices: p.devices(w, w.index())}
	c.names()
	if len(c.faults) == 0 {
		c.tests()
		c.admins()
	}
	return c.faults[:min(len(c.faults), faultsMost)]
}

// LockedOut tells whether no owner or admin could open a connection to any other
// device.
func LockedOut(p *Policy, w *World) bool {
	c := &checker{p: p, w: w, devices: p.devices(w, w.index())}
	c.admins()
	return len(c.faults) > 0
}

type checker struct {
	p      *Policy
	w      *World
	faults []Fault

	devices []class
}

func (c *checker) add(line, col int, code, format string, args ...any) {
	c.faults = append(c.faults, Fault{line, col, code, fmt.Sprintf(format, args...)})
}

func (c *checker) names() {
	devices, tags := map[string]bool{}, map[string]bool{}
	for i := range c.w.Devices {
		devices[c.w.Devices[i].Name] = true
		for _, t := range c.w.Devices[i].Tags {
			tags[t] = true
		}
	}
	each := func(ss ...Selector) {
		for i := range ss {
			switch s := &ss[i]; {
			case s.Kind == SelectDevice && !devices[s.Name]:
				c.add(s.line, s.col, UnknownDevice, "there is no device %q", s.Name)
			case s.Kind == SelectTag && !tags[s.Name]:
				c.add(s.line, s.col, UnknownTag, "no device has the tag %q", s.Name)
			case s.Kind == SelectShare && !slices.ContainsFunc(c.w.Shares, func(id string) bool { return sameShare(id, s.Name) }):
				c.add(s.line, s.col, UnknownShare, "there is no share %q", s.Name)
			}
		}
	}
	for i := range c.p.Allow {
		each(c.p.Allow[i].From...)
		each(c.p.Allow[i].To...)
	}
	each(c.p.Exits...)
	for _, g := range c.p.Routes {
		each(g.Who...)
	}
	for _, t := range c.p.Tests {
		each(t.From, t.To)
	}
}

// tests are checked for all that a test's names stand for: "allow" and "deny"
// must hold for each.
func (c *checker) tests() {
	for i := range c.p.Tests {
		t := &c.p.Tests[i]
		if why := c.test(t); why != "" {
			c.add(t.line, t.col, TestFailed, "%s", why)
		}
	}
}

func (c *checker) test(t *Test) string {
	froms, tos := c.subjects(&t.From), c.subjects(&t.To)
	for i := range froms {
		for j := range tos {
			from, to := &froms[i], &tos[j]
			if from.name != "" && from.name == to.name && len(from.names) == 1 {
				continue
			}
			open := c.p.between(from, to)
			for _, p := range t.Allow {
				if !p.Ports.Less(open).Empty() {
					return fmt.Sprintf("%s must reach %s on %s and does not", from.names[0], to.names[0], p.Text)
				}
			}
			for _, p := range t.Deny {
				if !p.Ports.Both(open).Empty() {
					return fmt.Sprintf("%s must not reach %s on %s and does", from.names[0], to.names[0], p.Text)
				}
			}
		}
	}
	return ""
}

// subjects is whom a test's name stands for, those that the policy treats alike
// as one.
func (c *checker) subjects(s *Selector) (out []class) {
	switch s.Kind {
	case SelectInternet:
		return []class{c.p.of(outside(anyPublic), "internet")}
	case SelectGuests, SelectShare:
		if s.Kind == SelectGuests {
			out = append(out, c.p.of(subject{share: "-"}, "guests"))
		}
		for _, id := range c.w.Shares {
			if s.Kind == SelectGuests || sameShare(id, s.Name) {
				out = append(out, c.p.of(subject{share: id}, "share:"+id))
			}
		}
		return out
	}
	at := map[string]int{}
	for _, d := range c.devices {
		if !s.selects(&d.subject, true) {
			continue
		}
		sig := d.signature()
		if i, ok := at[sig]; ok {
			out[i].names = append(out[i].names, d.name)
			continue
		}
		at[sig] = len(out)
		out = append(out, d)
	}
	if out == nil && s.Kind == SelectPrefix {
		out = append(out, c.p.of(outside(s.Prefix.Addr()), s.String()))
	}
	return out
}

// admins: somebody who may change the roster must be able to reach a device.
func (c *checker) admins() {
	if len(c.w.Devices) < 2 {
		return
	}
	seen := map[string]int{}
	for i := range c.devices {
		seen[c.devices[i].signature()] = i
	}
	for i := range c.w.Devices {
		if !c.w.Devices[i].Admin || len(c.devices[i].from) == 0 {
			continue
		}
		for _, j := range seen {
			if c.p.between(&c.devices[i], &c.devices[j]).Less(Echo).Empty() {
				continue
			}
			if i != j || c.another(i) {
				return
			}
		}
	}
	c.add(0, 0, LocksOut, "no owner or admin could open a connection to any other device")
}

// another tells whether there is one more that the policy treats like device i.
func (c *checker) another(i int) bool {
	sig := c.devices[i].signature()
	return slices.ContainsFunc(c.devices, func(d class) bool { return d.name != c.devices[i].name && d.signature() == sig })
}
