package firewall

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Blocked4 tells whether a rule of the host's firewall drops what comes from,
// or goes to, an IPv4 range on our interface, as another VPN does with the
// range that it thinks its own. rule is that rule, for people. It reads
// nftables, and so what iptables-nft sets; a rule that it does not wholly
// understand, that drops a part of the range, or that drops without a look at
// addresses does not count. Rules of a host without nftables are not seen.
func Blocked4(prefix netip.Prefix, ifname string) (rule string, blocked bool, err error) {
	if !prefix.IsValid() || !prefix.Addr().Is4() {
		return "", false, fmt.Errorf("read the firewall: %s is no IPv4 range", prefix)
	}
	index := 0
	if ifi, err := net.InterfaceByName(ifname); err == nil {
		index = ifi.Index
	}
	tables, err := read()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read the firewall: %w", err)
	}
	rule, blocked = judge(tables, kinds(prefix, ifname, index))
	return rule, blocked, nil
}

// read lists the tables that IPv4 passes.
func read() ([]*table, error) {
	c, err := nftables.New(nftables.AsLasting())
	if err != nil {
		return nil, err
	}
	defer c.CloseLasting()
	var tables []*table
	for family, name := range map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyINet: "inet"} {
		list, err := c.ListTablesOfFamily(family)
		if err != nil {
			return nil, fmt.Errorf("list tables: %w", err)
		}
		chains, err := c.ListChainsOfTableFamily(family)
		if err != nil {
			return nil, fmt.Errorf("list chains: %w", err)
		}
		for _, t := range list {
			read, err := readTable(c, t, chains)
			if err != nil {
				return nil, fmt.Errorf("table %s: %w", t.Name, err)
			}
			read.name = name + " " + t.Name
			tables = append(tables, read)
		}
	}
	slices.SortFunc(tables, func(a, b *table) int { return cmp.Compare(a.name, b.name) })
	return tables, nil
}

func readTable(c *nftables.Conn, t *nftables.Table, chains []*nftables.Chain) (*table, error) {
	out := &table{chains: make(map[string]*chain), sets: make(map[string][]interval)}
	for _, ch := range chains {
		if ch.Table.Name != t.Name {
			continue
		}
		rules, err := c.GetRules(t, ch)
		if errors.Is(err, unix.ENOENT) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("rules of chain %s: %w", ch.Name, err)
		}
		in := &chain{name: ch.Name, hook: ch.Hooknum}
		for _, r := range rules {
			in.rules = append(in.rules, r.Exprs)
			for _, e := range r.Exprs {
				if l, ok := e.(*expr.Lookup); ok {
					out.sets[l.SetName] = nil
				}
			}
		}
		out.chains[ch.Name] = in
	}
	if len(out.sets) == 0 {
		return out, nil
	}
	sets, err := c.GetSets(t)
	if err != nil {
		return nil, fmt.Errorf("list sets: %w", err)
	}
	for _, s := range sets {
		if _, used := out.sets[s.Name]; !used || s.Concatenation || s.IsMap {
			continue
		}
		elements, err := c.GetSetElements(s)
		if err != nil {
			continue // what cannot be read does not count
		}
		out.sets[s.Name] = intervals(elements, s.Interval)
	}
	return out, nil
}

// intervals reads a set's elements. Those of an interval set are starts and
// ends; an end is the first value that is outside.
func intervals(elements []nftables.SetElement, ranges bool) []interval {
	out := []interval{}
	if !ranges {
		for _, e := range elements {
			out = append(out, interval{e.Key, e.Key})
		}
		return out
	}
	slices.SortFunc(elements, func(a, b nftables.SetElement) int {
		// Where one ends and the next begins, the end comes first.
		return cmp.Or(bytes.Compare(a.Key, b.Key), -cmp.Compare(b2i(a.IntervalEnd), b2i(b.IntervalEnd)))
	})
	var from []byte
	for _, e := range elements {
		switch {
		case !e.IntervalEnd:
			from = e.Key
		case from != nil:
			out = append(out, interval{from, before(e.Key)})
			from = nil
		}
	}
	if from != nil { // up to the last value there is
		out = append(out, interval{from, bytes.Repeat([]byte{0xff}, len(from))})
	}
	return out
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// before is the value before b, which is not the first.
func before(b []byte) []byte {
	n := new(big.Int).SetBytes(b)
	if n.Sign() == 0 {
		return b
	}
	return n.Sub(n, big.NewInt(1)).FillBytes(make([]byte, len(b)))
}
