package egress_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"kith.internal/helper/internal/osnet/egress"
	"kith.internal/helper/internal/osnet/egress/egresstest"
)

// TestNetnsContract runs it against a helper on a host of its own.
func TestNetnsContract(t *testing.T) {
	w := egress.NewTestWorld(t)
	own := w.Own()
	egresstest.Contract(t, egresstest.Bed{
		Set: w.Set, Own: own, Restart: w.Restart,
		Look: func() (s egresstest.Seen) {
			s.Block = strings.Contains(w.Sh("nft list ruleset"), "policy drop")
			for _, family := range []string{"-4", "-6"} {
				look(t, w, family, own, &s)
			}
			slices.SortFunc(s.Routes, func(a, b egress.Route) int { return a.Prefix.Compare(b.Prefix) })
			return s
		},
	})
}

// look reads our table, which exists for the rules alone that lead there.
func look(t *testing.T, w *egress.TestWorld, family string, own []egress.Interface, s *egresstest.Seen) {
	if !strings.Contains(w.Sh("ip "+family+" rule"), "27496") {
		return
	}
	var routes []struct{ Type, Dst, Dev string }
	if err := json.Unmarshal([]byte(w.Sh("ip -json -details "+family+" route show table 27496")), &routes); err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		s.Exit = s.Exit || r.Type == "unreachable"
		i := slices.IndexFunc(own, func(o egress.Interface) bool { return o.Name == r.Dev })
		if r.Type != "unicast" || i < 0 {
			continue
		}
		index := own[i].Index
		if r.Dst == "default" {
			if family == "-4" {
				s.To4 = index
			} else {
				s.To6 = index
			}
			continue
		}
		p := netip.MustParsePrefix(r.Dst)
		if !slices.ContainsFunc(own, func(o egress.Interface) bool { return slices.Contains(o.Prefixes, p) }) {
			s.Routes = append(s.Routes, egress.Route{Prefix: p, Index: index})
		}
	}
}
