package dns

import (
	"fmt"
	"net/netip"
	"slices"
)

// Zone is one network's names; it never changes once built.
type Zone struct {
	network  string
	origin   string // "home.internal."
	hosts    map[string]*Host
	names    map[netip.Addr]string // address to full name with trailing dot
	prefixes []netip.Prefix
	tree     map[string]*node   // names of custom records, and those above them, with trailing dot
	short    map[string]*Custom // of one label below the origin
}

// Refusal tells which host, or which address of it, is not in the zone.
type Refusal struct {
	Host Host
	Why  error
}

func (r Refusal) Error() string { return fmt.Sprintf("host %q: %v", r.Host.Name, r.Why) }

// NewZone builds the zone NETWORK.internal. The prefixes are the overlay's:
// reverse names within them are answered here and nowhere else. Hosts come
// from peers, so each is checked: one whose name is no label or is taken is
// refused; one whose address is outside the prefixes or taken loses that
// address. The error is for a bad network name or prefix.
func NewZone(network string, prefixes []netip.Prefix, hosts []Host) (*Zone, []Refusal, error) {
	if err := ValidNetwork(network); err != nil {
		return nil, nil, fmt.Errorf("network name: %w", err)
	}
	z := &Zone{
		network: network,
		origin:  network + "." + Domain + ".",
		hosts:   make(map[string]*Host, len(hosts)),
		names:   make(map[netip.Addr]string, 2*len(hosts)),
	}
	for _, p := range prefixes {
		if !p.IsValid() || p.Bits() == 0 || p.Addr().Is4In6() {
			return nil, nil, fmt.Errorf("network %s: prefix %v cannot be an overlay's", network, p)
		}
		z.prefixes = append(z.prefixes, p.Masked())
	}
	var refused []Refusal
	for _, h := range hosts {
		if err := ValidHost(h.Name); err != nil {
			refused = append(refused, Refusal{h, err})
			continue
		}
		if z.hosts[h.Name] != nil {
			refused = append(refused, Refusal{h, fmt.Errorf("the name is another device's")})
			continue
		}
		kept := Host{Name: h.Name}
		var err error
		if kept.V4, err = z.admit(h.V4, true); err != nil {
			refused = append(refused, Refusal{h, err})
		}
		if kept.V6, err = z.admit(h.V6, false); err != nil {
			refused = append(refused, Refusal{h, err})
		}
		z.add(&kept)
	}
	return z, refused, nil
}

func (z *Zone) add(h *Host) {
	z.hosts[h.Name] = h
	for _, a := range []netip.Addr{h.V4, h.V6} {
		if a.IsValid() {
			z.names[a] = h.Name + "." + z.origin
		}
	}
}

// admit returns a if it may stand in the zone, else the zero Addr.
func (z *Zone) admit(a netip.Addr, want4 bool) (netip.Addr, error) {
	if !a.IsValid() {
		return netip.Addr{}, nil
	}
	a = a.Unmap()
	switch {
	case a.Is4() != want4 || a.Zone() != "":
		return netip.Addr{}, fmt.Errorf("address %v is not of the family it stands for", a)
	case !slices.ContainsFunc(z.prefixes, func(p netip.Prefix) bool { return p.Contains(a) }):
		return netip.Addr{}, fmt.Errorf("address %v is not in the network's prefixes", a)
	case z.names[a] != "":
		return netip.Addr{}, fmt.Errorf("address %v is that of %s", a, z.names[a])
	}
	return a, nil
}

// Network is the label the zone was built for.
func (z *Zone) Network() string { return z.network }

// Origin is the zone's apex with trailing dot, "home.internal.".
func (z *Zone) Origin() string { return z.origin }

// Search is the search domain, the origin without trailing dot.
func (z *Zone) Search() string { return z.origin[:len(z.origin)-1] }

// Reverse are the apexes of the reverse zones, with trailing dot, for an OS
// that can route queries by suffix.
func (z *Zone) Reverse() []string {
	var out []string
	for _, p := range z.prefixes {
		out = append(out, reverseOrigins(p)...)
	}
	return out
}

// Len is the number of hosts.
func (z *Zone) Len() int { return len(z.hosts) }

// Host finds a device by its label.
func (z *Zone) Host(label string) (Host, bool) {
	if h := z.hosts[label]; h != nil {
		return *h, true
	}
	return Host{}, false
}
