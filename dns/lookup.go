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
	Exists                 // ours; Host, PTR and Apex tell what is there
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
		return zs.forward(name[:len(name)-len(domainSuffix)])
	case strings.HasSuffix(name, arpa4):
		return zs.reverse(parse4(name[:len(name)-len(arpa4)]))
	case strings.HasSuffix(name, arpa6):
		return zs.reverse(parse6(name[:len(name)-len(arpa6)]))
	}
	label := name[:len(name)-1]
	for _, z := range zs.order {
		if h := z.hosts[label]; h != nil { // a label with a dot is never a key
			return Answer{Verdict: Exists, Origin: z.origin, Host: h, Short: true}
		}
	}
	return Answer{}
}

// forward finds rest in rest.internal.
func (zs *Zones) forward(rest string) Answer {
	network, host := rest, ""
	if i := lastDot(rest); i >= 0 {
		network, host = rest[i+1:], rest[:i]
	}
	z := zs.byName[network]
	if z == nil {
		return Answer{}
	}
	if network == rest {
		return Answer{Verdict: Exists, Origin: z.origin, Apex: true}
	}
	if h := z.hosts[host]; h != nil {
		return Answer{Verdict: Exists, Origin: z.origin, Host: h}
	}
	return Answer{Verdict: Missing, Origin: z.origin}
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
