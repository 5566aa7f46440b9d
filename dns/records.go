package dns

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// RecordRefusal tells which set is not in the zone.
type RecordRefusal struct {
	Set RecordSet
	Why error
}

func (r RecordRefusal) Error() string {
	return fmt.Sprintf("records %.260q %.10s: %v", r.Set.Name, r.Set.Type, r.Why)
}

// node is a name that exists by custom records: its own, or those below it.
type node struct {
	own  *Custom
	wild *Custom // of "*" below it
}

const (
	maxSets  = 20000 // more than a roster holds
	maxChain = 8     // CNAMEs to an answer
)

// WithRecords returns the zone with custom records too. network is the name
// under which the roster knows the zone; names below it are put below the local
// alias. Sets are checked one by one; what is refused is left out.
func (z *Zone) WithRecords(network string, sets []RecordSet) (*Zone, []RecordRefusal) {
	if len(sets) == 0 {
		return z, nil
	}
	b := recordBuilder{zone: *z, from: network + "." + Domain, to: z.Search(), names: make(map[string]*Custom, len(sets)), sets: make(map[string][]RecordSet)}
	for i, set := range sets {
		if i >= maxSets {
			b.refuse(set, fmt.Errorf("more than %d", maxSets))
			break
		}
		b.add(set)
	}
	b.drop(func(name string) error { return b.aloneCNAME(name) })
	b.resolve()
	b.plant()
	b.drop(b.endless)
	b.plant()
	return &b.zone, b.refused
}

type recordBuilder struct {
	zone     Zone
	from, to string // the zone's name in the roster and here
	names    map[string]*Custom
	sets     map[string][]RecordSet
	refused  []RecordRefusal
}

func (b *recordBuilder) refuse(set RecordSet, why error) {
	b.refused = append(b.refused, RecordRefusal{set, why})
}

// rename puts a name below the zone as it is called here.
func (b *recordBuilder) rename(name string) string {
	if rest, ok := strings.CutSuffix(name, b.from); ok && (rest == "" || rest[len(rest)-1] == '.') {
		return rest + b.to
	}
	return name
}

func (b *recordBuilder) add(set RecordSet) {
	name := b.rename(set.Name)
	if err := b.allowed(name); err != nil {
		b.refuse(set, err)
		return
	}
	key := name + "."
	c := b.names[key]
	if c == nil {
		c = new(Custom)
	}
	if err := c.take(&b.zone, set, b.rename); err != nil {
		b.refuse(set, err)
		return
	}
	b.names[key] = c
	b.sets[key] = append(b.sets[key], set)
}

// allowed reports why a name may not have custom records.
func (b *recordBuilder) allowed(name string) error {
	base, wild := strings.CutPrefix(name, "*.")
	if err := validName(base); err != nil {
		return err
	}
	if len(name) > maxName {
		return fmt.Errorf("name has %d bytes, more than %d", len(name), maxName)
	}
	label, inside := strings.CutSuffix(base, "."+b.to)
	switch {
	case base == b.to:
		return nil
	case inside && unsafeHosts[label]:
		return fmt.Errorf("label %q has a meaning of its own to programs", label)
	case inside && !wild && b.zone.hosts[label] != nil:
		return errors.New("the name is a device's")
	case inside:
		return nil
	case base == Domain || strings.HasSuffix(base, "."+Domain):
		return fmt.Errorf("it is below .%s, but not in this network's zone", Domain)
	}
	return private(base)
}

// drop removes the names that check finds fault with.
func (b *recordBuilder) drop(check func(name string) error) {
	bad := map[string]error{}
	for name := range b.names {
		if err := check(name); err != nil {
			bad[name] = err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		for _, set := range b.sets[name] {
			b.refuse(set, bad[name])
		}
		delete(b.names, name)
	}
}

// aloneCNAME: beside a CNAME there is nothing (RFC 1034 §3.6.2), and the apex
// has records of its own.
func (b *recordBuilder) aloneCNAME(name string) error {
	c := b.names[name]
	switch {
	case c.CNAME == "":
		return nil
	case len(b.sets[name]) > 1:
		return errors.New("a CNAME beside other records")
	case name == b.zone.origin:
		return errors.New("a CNAME at the zone's apex")
	}
	return nil
}

// resolve adds the addresses of devices, each once.
func (b *recordBuilder) resolve() {
	for _, c := range b.names {
		for _, h := range c.devices {
			if h.V4.IsValid() && !slices.Contains(c.V4, h.V4) {
				c.V4 = append(c.V4, h.V4)
			}
			if h.V6.IsValid() && !slices.Contains(c.V6, h.V6) {
				c.V6 = append(c.V6, h.V6)
			}
		}
		c.devices = nil
	}
}

// plant makes the tree of names, those between included (RFC 4592 §2.2.2).
func (b *recordBuilder) plant() {
	z := &b.zone
	z.tree = make(map[string]*node, 2*len(b.names))
	z.short = make(map[string]*Custom)
	at := func(name string) *node {
		n := z.tree[name]
		if n == nil {
			n = new(node)
			z.tree[name] = n
		}
		return n
	}
	for name, c := range b.names {
		base, wild := strings.CutPrefix(name, "*.")
		if wild {
			at(base).wild = c
		} else {
			at(base).own = c
			if label, ok := strings.CutSuffix(base, "."+z.origin); ok && !strings.Contains(label, ".") {
				z.short[label] = c
			}
		}
		for up := parent(base); up != "" && up != z.origin && up != Domain+"."; up = parent(up) {
			if z.tree[up] != nil {
				break // and so are those above it
			}
			at(up)
		}
	}
}

// endless reports a CNAME that comes back to itself, or takes too long.
func (b *recordBuilder) endless(name string) error {
	c := b.names[name]
	for range maxChain + 1 {
		if c == nil || c.CNAME == "" {
			return nil
		}
		if c.CNAME == name {
			return errors.New("it points at itself")
		}
		next := b.zone.lookup(c.CNAME)
		if next.Custom == c {
			return errors.New("it points at itself")
		}
		c = next.Custom
	}
	return fmt.Errorf("it goes round, or through more than %d CNAMEs", maxChain)
}

// Domains are the names outside the networks' zones that custom records are at
// or below, without trailing dot, sorted, none below another: what an OS that
// splits has to ask the stub for.
func (zs *Zones) Domains() []string {
	all := map[string]bool{}
	for _, z := range zs.All() {
		for name, n := range z.tree {
			if (n.own != nil || n.wild != nil) && !strings.HasSuffix(name, domainSuffix) {
				all[name] = true
			}
		}
	}
	var out []string
	for name := range all {
		covered := false
		for up := parent(name); up != "" && !covered; up = parent(up) {
			covered = all[up]
		}
		if !covered {
			out = append(out, name[:len(name)-1])
		}
	}
	slices.Sort(out)
	return out
}
