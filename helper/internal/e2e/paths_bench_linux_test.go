//go:build bench

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"kith.internal/ipc"
)

const pathRuns = 10

// times runs f pathRuns times, as a test each.
func times(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	for i := range pathRuns {
		if !t.Run(name+" "+strconv.Itoa(i), f) {
			t.Errorf("%s: a run failed", name)
		}
	}
}

// spread is the median, the least and the most of d, and what it may be.
func spread(t *testing.T, what string, d []time.Duration, budget time.Duration) []string {
	t.Helper()
	if len(d) == 0 {
		return []string{what, "failed", "", "", "", ""}
	}
	if median(d) > budget {
		t.Errorf("%s: median %v, budget %v", what, median(d), budget)
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/1e6) }
	return []string{what, ms(median(d)), ms(slices.Min(d)), ms(slices.Max(d)), strconv.Itoa(len(d)), ms(budget)}
}

// TestBenchPaths measures the table of paths.
func TestBenchPaths(t *testing.T) {
	table := [][]string{{"row", "median", "least", "most", "runs", "budget"}}
	var direct [][]string
	for _, c := range []struct {
		name string
		p    place
	}{
		{"2 both public", bothPublic}, {"3 one behind a NAT", oneBehindNAT}, {"4 both behind NATs", bothBehindNAT},
		{"8 two carriers", twoCarriers}, {"10 one carrier, hairpin", hairpin}, {"13 only IPv6", onlyIPv6},
	} {
		var joins, directs []time.Duration
		times(t, c.name, func(t *testing.T) {
			w := newWorld(t)
			s, a, b := c.p(w)
			a.join(s)
			a.meets(s)
			m := w.meet(s, a, b, patience, ipc.PathDirect)
			joins, directs = append(joins, m.join), append(directs, m.direct)
		})
		table = append(table, spread(t, c.name+": join by link to first ping", joins, 2*time.Second))
		direct = append(direct, spread(t, c.name+": first ping to direct", directs, time.Second))
	}
	table = append(table, direct...)
	for _, c := range []struct {
		name   string
		gap    func(t *testing.T) time.Duration
		budget time.Duration
	}{
		{"5 symmetric and home: relayed to direct", func(t *testing.T) time.Duration { return born(t, symmetricAndHome) }, 10 * time.Second},
		{"6 symmetric and firewall: relayed to direct", func(t *testing.T) time.Duration { return born(t, symmetricAndFirewall) }, 10 * time.Second},
		{"14 another public address: gap", addressChanges, time.Second},
		{"15 another LAN: gap", anotherLAN, time.Second},
		{"16 restart without internet: gap", noInternet, 2 * time.Second},
		{"20 uplink unplugged: gap", uplinkUnplugged, time.Second},
		{"20 uplink silent: gap", uplinkSilent, 3 * time.Second},
		{"23 relay killed: gap", relayKilled, time.Second},
	} {
		var gaps []time.Duration
		times(t, c.name, func(t *testing.T) { gaps = append(gaps, c.gap(t)) })
		table = append(table, spread(t, c.name, gaps, c.budget))
	}
	print(table...)
}
