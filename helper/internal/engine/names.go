package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"kith.internal/dns"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// names are a network's zone as it was built last, and from what.
type names struct {
	alias   string
	hosts   []dns.Host
	ranges  []netip.Prefix
	sets    []roster.DNSSet
	zone    *dns.Zone
	refused []dns.RecordRefusal
}

// zone is the network's names: its devices', and what its roster says of others.
// It is the same one until something of it changes.
func (n *network) zone() (*dns.Zone, error) {
	v, b := n.book.View(), &n.names
	hosts, ranges := named(n.input())
	if b.zone != nil && b.alias == n.alias && slices.Equal(b.hosts, hosts) && slices.Equal(b.ranges, ranges) &&
		slices.EqualFunc(b.sets, v.DNS, func(x, y roster.DNSSet) bool { return x.By == y.By }) {
		return b.zone, nil
	}
	z, refused, err := dns.NewZone(n.alias, ranges, hosts)
	if err != nil {
		return nil, err
	}
	for _, r := range refused {
		n.e.log.Warn("a name is left out", "network", n.alias, "err", r)
	}
	n.names = names{alias: n.alias, hosts: hosts, ranges: ranges, sets: v.DNS}
	b.zone, b.refused = z.WithRecords(v.Name, recordSets(v))
	for _, r := range b.refused {
		n.e.log.Warn("records are left out", "network", n.alias, "err", r)
	}
	return b.zone, nil
}

// recordSets are the custom records, but for resolvers.
func recordSets(v *roster.View) []dns.RecordSet {
	var out []dns.RecordSet
	for _, s := range v.DNS {
		if s.Type == "NS" {
			continue
		}
		out = append(out, recordSet(v, s.Name, s.Type, s.Values))
	}
	return out
}

func recordSet(v *roster.View, name, rtype string, values []string) dns.RecordSet {
	set := dns.RecordSet{Name: name, Type: rtype, Values: values}
	if rtype == roster.DNSDevice {
		set.Type, set.Values = dns.Device, nil
		for _, s := range values {
			if k, err := key.Parse(s); err == nil && v.Member(k) != nil {
				set.Values = append(set.Values, v.Member(k).Name)
			}
		}
	}
	return set
}

// split is a domain that a network's roster names resolvers for.
type split struct {
	suffix  string
	servers []dns.Resolver
	network *network
}

// splits are those of the networks that are up; where two name a domain, the
// first network's count.
func (e *Engine) splits() []split {
	var out []split
	for _, n := range e.nets {
		if n.on == nil {
			continue
		}
		for _, s := range n.book.View().DNS {
			suffix := n.local(s.Name)
			if s.Type != "NS" || e.refusesSplit(suffix) != nil || slices.ContainsFunc(out, func(o split) bool { return o.suffix == suffix }) {
				continue
			}
			out = append(out, split{suffix, resolvers(s.Values), n})
		}
	}
	return out
}

// refusesSplit says why a suffix gets no resolvers.
func (e *Engine) refusesSplit(suffix string) error {
	for _, n := range e.nets {
		zone := n.alias + "." + dns.Domain
		if suffix == zone || strings.HasSuffix(suffix, "."+zone) {
			return fmt.Errorf("the names of %s are answered on each device itself", n.alias)
		}
	}
	return dns.ValidSuffix(suffix)
}

// resolvers reads what the roster names.
func resolvers(values []string) []dns.Resolver {
	var out []dns.Resolver
	for _, s := range values {
		if r, err := dns.ParseResolver(s); err == nil {
			out = append(out, r)
		}
	}
	return out
}

// local spells a name of the roster as it is called here, and global back.
func (n *network) local(name string) string  { return respell(name, n.name(), n.alias) }
func (n *network) global(name string) string { return respell(name, n.alias, n.name()) }

func respell(name, from, to string) string {
	if rest, ok := strings.CutSuffix(name, from+"."+dns.Domain); ok && (rest == "" || strings.HasSuffix(rest, ".")) {
		return rest + to + "." + dns.Domain
	}
	return name
}

// validDevice wants a name that resolves, which is less than every member takes:
// what members take can never change.
func validDevice(name string) error {
	if err := roster.ValidLabel(name); err != nil {
		return err
	}
	if err := dns.ValidHost(name); err != nil {
		return fmt.Errorf("%w: %w", roster.ErrName, err)
	}
	return nil
}

// validNetwork wants the name of a network whose zone is served.
func validNetwork(name string) error {
	if err := roster.ValidNetworkName(name); err != nil {
		return err
	}
	if err := dns.ValidNetwork(name); err != nil {
		return fmt.Errorf("%w: %w", roster.ErrName, err)
	}
	return nil
}
