package netmon

import (
	"cmp"
	"net/netip"
	"slices"
)

// finish sorts what was read, so that it compares, and finds the default
// routes: of the table, those into interfaces that are up, the smallest metric
// first.
func finish(s *State, routes []Route, table int) {
	slices.SortFunc(s.Interfaces, func(a, b Interface) int { return cmp.Compare(a.Index, b.Index) })
	up := make(map[int]bool, len(s.Interfaces))
	for _, i := range s.Interfaces {
		up[i.Index] = i.Up
		slices.SortFunc(i.Prefixes, netip.Prefix.Compare)
	}
	slices.SortFunc(routes, func(a, b Route) int {
		return cmp.Or(
			cmp.Compare(a.Table, b.Table), a.Prefix.Compare(b.Prefix),
			cmp.Compare(a.Metric, b.Metric), cmp.Compare(a.Index, b.Index), a.Gateway.Compare(b.Gateway))
	})
	for _, r := range routes {
		if !r.IsDefault() || r.Scoped || r.Table != table || !up[r.Index] {
			continue
		}
		d := &s.Default6
		if r.Prefix.Addr().Is4() {
			d = &s.Default4
		}
		if *d == 0 {
			*d = r.Index
		}
	}
}
