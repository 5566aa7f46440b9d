// Package plan decides what the OS's resolver should be told: zones and the
// OS's abilities in, one configuration out. It is pure, and imports nothing of
// ours but the package of names.
package plan

import (
	"net/netip"
	"slices"
	"strings"

	"kith.internal/dns"
)

// Abilities are what a way of configuring the OS can express.
type Abilities struct {
	Split          bool // can send the names below given domains, and no others, to our nameservers
	MaxNameservers int  // more are ignored by resolvers; 0: no limit
	MaxMatch       int  // domains that can be sent to us; with more all queries are; 0: no limit
	MaxSearch      int  // search domains that all resolvers honour; 0: no limit
	MaxSearchBytes int  // their length together, with one space between; 0: no limit
}

// PlainFile are the abilities of resolv.conf(5): glibc before 2.26 takes six
// search domains, musl 256 bytes of them, both three nameservers.
var PlainFile = Abilities{MaxNameservers: 3, MaxSearch: 6, MaxSearchBytes: 255}

// Resolved are the abilities of systemd-resolved, which knows domains by link.
// It takes 256 of them for a link.
var Resolved = Abilities{Split: true, MaxMatch: 256}

// Windows are those of the name resolution policy table; its search list holds
// fifty domains of 1,023 characters together.
var Windows = Abilities{Split: true, MaxSearch: 50, MaxSearchBytes: 1023}

// Darwin are those of /etc/resolver, which takes three nameservers a domain.
var Darwin = Abilities{Split: true, MaxNameservers: 3}

// Input is what the plan is made from.
type Input struct {
	Zones      *dns.Zones
	Stub       []netip.Addr // where the stub answers now, the preferred first
	BaseSearch []string     // the host's own search domains
	Domains    []string     // further domains to send to the stub: with resolvers or records of ours
	TakeAll    bool         // every query is to pass the stub: an exit node, a records' override
}

// OSConfig is what the OS is to be told. The zero value asks for nothing, and
// undoes what was asked before.
type OSConfig struct {
	Nameservers []netip.Addr
	Search      []string // without trailing dot, ours first
	Match       []string // only names below these go to Nameservers, without trailing dot; empty: all names do
}

// IsZero reports whether nothing is asked for.
func (c OSConfig) IsZero() bool {
	return len(c.Nameservers) == 0 && len(c.Search) == 0 && len(c.Match) == 0
}

// Equal compares; the order counts.
func (c OSConfig) Equal(d OSConfig) bool {
	return slices.Equal(c.Nameservers, d.Nameservers) && slices.Equal(c.Search, d.Search) && slices.Equal(c.Match, d.Match)
}

// Plan is the configuration, and what of it the OS could not hold.
type Plan struct {
	OS      OSConfig
	Dropped []string // search domains beyond the OS's limits
}

// Make decides. Without zones or without a stub that answers, the OS is left
// as it was. An OS that can split gets our domains alone, reverse ones
// included; one that cannot gets the stub as its only resolver, with its own
// behind the stub: a second nameserver beside it would be asked for members'
// names as soon as a packet is lost.
func Make(in Input, os Abilities) Plan {
	zones := in.Zones.All()
	if len(zones) == 0 || len(in.Stub) == 0 {
		return Plan{}
	}
	var p Plan
	p.OS.Nameservers = limit(in.Stub, os.MaxNameservers)
	var search []string
	for _, z := range zones {
		search = append(search, z.Search())
	}
	if os.Split && !in.TakeAll {
		p.OS.Match = match(zones, in.Domains, os.MaxMatch)
	}
	// Ours first: the stub refuses a name at once, so a miss costs the host's
	// own domains nothing, while theirs would cost ours a trip to the internet.
	if !os.Split {
		search = append(search, in.BaseSearch...)
	}
	p.OS.Search, p.Dropped = limitSearch(search, os)
	return p
}

// match are the domains whose names are to come to us: the networks', the
// further ones, and those of addresses as far as the OS takes so many. Where not
// even the others fit, nil: all names come, and the stub passes the rest on.
func match(zones []*dns.Zone, further []string, most int) []string {
	var out []string
	for _, z := range zones {
		out = append(out, z.Search())
	}
	for _, d := range further {
		d = strings.ToLower(strings.TrimSuffix(d, "."))
		if dns.ValidDomain(d) == nil && !slices.ContainsFunc(out, func(o string) bool { return d == o || strings.HasSuffix(d, "."+o) }) {
			out = append(out, d)
		}
	}
	if most > 0 && len(out) > most {
		return nil
	}
	for _, z := range zones {
		for _, r := range z.Reverse() {
			if most == 0 || len(out) < most {
				out = append(out, strings.TrimSuffix(r, "."))
			}
		}
	}
	return out
}

func limit(addrs []netip.Addr, n int) []netip.Addr {
	if n > 0 && len(addrs) > n {
		addrs = addrs[:n]
	}
	return slices.Clone(addrs)
}

// limitSearch keeps the first domains that fit, each once and well-formed.
func limitSearch(domains []string, os Abilities) (kept, dropped []string) {
	bytes := 0
	for _, d := range domains {
		same := func(k string) bool { return strings.EqualFold(k, d) }
		if slices.ContainsFunc(kept, same) || (d != "." && dns.ValidDomain(d) != nil) {
			continue
		}
		size := bytes + len(d)
		if len(kept) > 0 {
			size++
		}
		if os.MaxSearch > 0 && len(kept) >= os.MaxSearch || os.MaxSearchBytes > 0 && size > os.MaxSearchBytes {
			dropped = append(dropped, d)
			continue
		}
		kept, bytes = append(kept, d), size
	}
	return kept, dropped
}
