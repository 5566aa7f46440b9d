package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"

	"kith.internal/dns"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

// recordTypes are what "dns records add" takes.
var recordTypes = []string{"A", "AAAA", "CNAME", "TXT", "SRV", "MX", roster.DNSDevice, "NS"}

// rosterName completes a name as a person writes it: one label is a name in the
// network's zone, but for a suffix, which is what it says. "@" is the zone.
func (n *network) rosterName(name, rtype string) string {
	zone := n.name() + "." + dns.Domain
	name = strings.ToLower(name)
	switch short := !strings.Contains(name, "."); {
	case name == ".", rtype == "NS" && short:
		return name
	case name == "@":
		return zone
	case short:
		return name + "." + zone
	}
	return n.global(strings.TrimSuffix(name, "."))
}

// readRecords makes sets of what a person asks for, a type each.
func (n *network) readRecords(req ipc.DNSRecordsRequest) ([]roster.DNSSet, error) {
	if len(req.Values) == 0 {
		return nil, ipc.Errorf(ipc.CodeUsage, "say what %q is to stand for", req.Name)
	}
	values := map[string][]string{}
	for _, v := range req.Values {
		t := strings.ToUpper(req.Type)
		if t == "" {
			t = n.guess(v)
		}
		if !slices.Contains(recordTypes, t) {
			return nil, ipc.Errorf(ipc.CodeUsage, "there are records of type %s, not %.20q", strings.Join(recordTypes, ", "), req.Type)
		}
		value, err := n.readValue(t, v)
		if err != nil {
			return nil, err
		}
		values[t] = append(values[t], value)
	}
	var out []roster.DNSSet
	for _, t := range recordTypes {
		if len(values[t]) > 0 {
			out = append(out, roster.DNSSet{Name: n.rosterName(req.Name, t), Type: t, Values: values[t]})
		}
	}
	return out, nil
}

// guess is the type that a value is of: an address's, or a device's.
func (n *network) guess(v string) string {
	a, err := netip.ParseAddr(v)
	switch {
	case err != nil:
		return roster.DNSDevice
	case a.Is4():
		return "A"
	}
	return "AAAA"
}

// readValue is a value in its one form.
func (n *network) readValue(rtype, v string) (string, error) {
	switch rtype {
	case "A", "AAAA":
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" || a.Unmap().Is4() != (rtype == "A") {
			return "", ipc.Errorf(ipc.CodeUsage, "%.60q is not an address for %s", v, rtype)
		}
		return a.Unmap().String(), nil
	case "NS":
		r, err := dns.ParseResolver(v)
		if err != nil {
			return "", ipc.Errorf(ipc.CodeUsage, "%.60q is %w", v, err)
		}
		return r.String(), nil
	case roster.DNSDevice:
		k, err := n.deviceNamed(v)
		return k.String(), err
	case "TXT":
		if strings.ContainsFunc(v, unicode.IsControl) {
			return "", ipc.Errorf(ipc.CodeUsage, "%.60q has control characters", v)
		}
		return v, nil
	}
	f := strings.Fields(v)
	if len(f) == 0 {
		return "", ipc.Errorf(ipc.CodeUsage, "a %s record has a name as its target", rtype)
	}
	f[len(f)-1] = n.rosterName(f[len(f)-1], rtype)
	for i, s := range f[:len(f)-1] {
		if s = strings.TrimLeft(s, "0"); s == "" {
			s = "0"
		}
		f[i] = s
	}
	return strings.Join(f, " "), nil
}

// sameValue tells whether a person means a value by how it is written.
func (n *network) sameValue(rtype, value, written string) bool {
	if value == written || n.shown(rtype, value) == written {
		return true
	}
	v, err := n.readValue(rtype, written)
	return err == nil && v == value
}

func (n *network) valuesOf(name, rtype string) []string {
	for _, s := range n.book.View().DNS {
		if s.Name == name && s.Type == rtype {
			return slices.Clone(s.Values)
		}
	}
	return nil
}

const maxValues = 64 // of a name and type, as the roster has it

// checkRecords says why a set would have no effect beside what there is.
func (n *network) checkRecords(s roster.DNSSet) error {
	if s.Type == "NS" {
		return n.e.refusesSplit(n.local(s.Name))
	}
	if len(s.Values) > maxValues {
		return fmt.Errorf("more than %d values", maxValues)
	}
	v := n.book.View()
	hosts, ranges := named(n.input())
	z, _, err := dns.NewZone(n.alias, ranges, hosts)
	if err != nil {
		return err
	}
	sets := slices.DeleteFunc(recordSets(v), func(o dns.RecordSet) bool { return o.Name == s.Name && o.Type == s.Type })
	_, refused := z.WithRecords(v.Name, append(sets, recordSet(v, s.Name, s.Type, s.Values)))
	for _, r := range refused {
		if r.Set.Name == s.Name && r.Set.Type == s.Type {
			return r.Why
		}
	}
	return nil
}
