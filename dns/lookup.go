package dns

import (
	"fmt"
	"net/netip"
	"strings"
)

// Verdict is what a set of zones says of a name.
type Verdict uint8

const (
	Foreign Verdict = iota // not ours: others may know it
	Exists                 // ours; Host, Custom, PTR and Apex tell what is there
	Missing                // ours, and there is no such name
)

// Answer is what is known of one name.
type Answer struct {
	Verdict Verdict
	Origin  string // apex of the zone that answers, with trailing dot
	Apex    bool   // the name is that apex
	Short   bool   // a single label, found in one of the zones
	Host    *Host  // nil if the name is no device's; not to be changed
	PTR     string // the full name with trailing dot, for a reverse name
	Custom  *Custom
	// Override: the name is in others' domain, where our records stand in for
	// what is said of it (see Custom.Whole), but not of how it is delegated.
	Override bool
}

// Zones are the zones of all networks, in the order in which a short name is
// looked for; the zero value has none.
type Zones struct {
	order  []*Zone
	byName map[string]*Zone // by network label
}

// NewZones joins zones. Two of one name are an error: the later network has to
// take a local alias.
func NewZones(zones ...*Zone) (*Zones, error) {
	zs := &Zones{order: zones, byName: make(map[string]*Zone, len(zones))}
	for _, z := range zones {
		if zs.byName[z.network] != nil {
			return nil, fmt.Errorf("two networks have the name %s", z.network)
		}
		zs.byName[z.network] = z
	}
	return zs, nil
}

// All are the zones in order; not to be changed.
func (zs *Zones) All() []*Zone {
	if zs == nil {
		return nil
	}
	return zs.order
}

const (
	domainSuffix = "." + Domain + "."
	arpa4        = ".in-addr.arpa."
	arpa6        = ".ip6.arpa."
)

// Lookup finds a name, given in lower case and presentation form with a
// trailing dot. It allocates nothing for the name of a device.
func (zs *Zones) Lookup(name string) Answer {
	if zs == nil || len(zs.order) == 0 || len(name) < 2 {
		return Answer{}
	}
	switch {
	case strings.HasSuffix(name, domainSuffix):
		return zs.forward(name)
	case strings.HasSuffix(name, arpa4):
		if a := zs.reverse(parse4(name[:len(name)-len(arpa4)])); a.Verdict != Foreign {
			return a
		}
	case strings.HasSuffix(name, arpa6):
		if a := zs.reverse(parse6(name[:len(name)-len(arpa6)])); a.Verdict != Foreign {
			return a
		}
	}
	label := name[:len(name)-1]
	for _, z := range zs.order {
		if h := z.hosts[label]; h != nil { // a label with a dot is never a key
			return Answer{Verdict: Exists, Origin: z.origin, Host: h, Short: true}
		}
		if c := z.short[label]; c != nil {
			return Answer{Verdict: Exists, Origin: z.origin, Custom: c, Short: true}
		}
	}
	for _, z := range zs.order {
		if a := z.override(name); a.Verdict != Foreign {
			return a
		}
	}
	return Answer{}
}

// forward finds a name below .internal.
func (zs *Zones) forward(name string) Answer {
	network := name[:len(name)-len(domainSuffix)]
	if i := lastDot(network); i >= 0 {
		network = network[i+1:]
	}
	z := zs.byName[network]
	if z == nil {
		return Answer{}
	}
	return z.lookup(name)
}

// lookup finds a name that may be in the zone, or have custom records.
func (z *Zone) lookup(name string) Answer {
	host, inside := strings.CutSuffix(name, z.origin)
	switch {
	case host == "" && inside:
		a := Answer{Verdict: Exists, Origin: z.origin, Apex: true}
		if n := z.tree[name]; n != nil {
			a.Custom = n.own
		}
		return a
	case !inside || host[len(host)-1] != '.':
		return z.override(name)
	}
	if h := z.hosts[host[:len(host)-1]]; h != nil {
		return Answer{Verdict: Exists, Origin: z.origin, Host: h}
	}
	if len(z.tree) == 0 {
		return Answer{Verdict: Missing, Origin: z.origin}
	}
	return z.inside(name)
}

// inside finds a name of the zone that is no device's: by itself, or by the
// wildcard of the longest name above it that exists (RFC 4592 §3.3.1).
func (z *Zone) inside(name string) Answer {
	if n := z.tree[name]; n != nil {
		return Answer{Verdict: Exists, Origin: z.origin, Custom: n.own}
	}
	missing := Answer{Verdict: Missing, Origin: z.origin}
	for up := parent(name); up != ""; up = parent(up) {
		n := z.tree[up]
		if n != nil && n.wild != nil && !unsafeHosts[name[:len(name)-len(parent(name))-1]] {
			return Answer{Verdict: Exists, Origin: z.origin, Custom: n.wild}
		}
		if n != nil || up == z.origin || z.hosts[strings.TrimSuffix(up, "."+z.origin)] != nil {
			return missing
		}
	}
	return missing
}

// override finds custom records for a name in others' domains.
func (z *Zone) override(name string) Answer {
	if len(z.tree) == 0 {
		return Answer{}
	}
	if n := z.tree[name]; n != nil {
		if n.own == nil {
			return Answer{} // what is there is for others to say
		}
		return Answer{Verdict: Exists, Origin: name, Custom: n.own, Override: true}
	}
	for up := parent(name); up != ""; up = parent(up) {
		n := z.tree[up]
		switch {
		case n == nil:
			continue
		case n.wild == nil:
			return Answer{}
		}
		return Answer{Verdict: Exists, Origin: up, Custom: n.wild, Override: true}
	}
	return Answer{}
}

// parent is the name without its first label, "" for a single label.
func parent(name string) string {
	for i := 0; i < len(name)-1; i++ {
		switch name[i] {
		case '\\':
			i++ // the next byte is of the label
		case '.':
			return name[i+1:]
		}
	}
	return ""
}

// lastDot is the last dot that parts labels: one behind an odd number of
// backslashes is a byte of its label (RFC 1035 §5.1).
func lastDot(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != '.' {
			continue
		}
		n := 0
		for j := i - 1; j >= 0 && s[j] == '\\'; j-- {
			n++
		}
		if n%2 == 0 {
			return i
		}
	}
	return -1
}

func (zs *Zones) reverse(r reverseName) Answer {
	for _, z := range zs.order {
		for _, p := range z.prefixes {
			if p.Addr().Is4() != r.addr.Is4() || r.bits < p.Bits() || !p.Contains(r.addr) {
				continue
			}
			return z.reverse(r, p)
		}
	}
	return Answer{}
}

func (z *Zone) reverse(r reverseName, p netip.Prefix) Answer {
	cut := roundUp(p)
	a := Answer{Verdict: Missing, Origin: reverseString(r.addr, cut)}
	switch {
	case r.extra:
	case r.bits == r.addr.BitLen():
		if a.PTR = z.names[r.addr]; a.PTR != "" {
			a.Verdict = Exists
		}
	case r.bits == cut:
		a.Verdict, a.Apex = Exists, true
	default: // between the apex and the hosts: there if a host is below (RFC 8020)
		within, err := r.addr.Prefix(r.bits)
		for addr := range z.names {
			if err == nil && within.Contains(addr) {
				a.Verdict = Exists
				break
			}
		}
	}
	return a
}
