//go:build bench

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// TestBenchRelay runs iperf3 between three pairs of members of one network in
// turns: direct, by the relay over UDP and over TLS.
func TestBenchRelay(t *testing.T) {
	const rounds, seconds = 5, 4
	w := newWorld(t)
	s := w.founder()
	ways := []struct {
		name, site string
		nat        kind
		only443    bool
		want       ipc.PathKind
	}{
		{"direct", "d", netnstest.HomeNAT, false, ipc.PathDirect},
		{"relayed over UDP", "u", netnstest.SymmetricNAT, false, ipc.PathRelayed},
		{"relayed over TLS", "t", netnstest.SymmetricNAT, true, ipc.PathRelayed},
	}
	from, to := make([]*node, len(ways)), make([]*node, len(ways))
	rates := make([][]float64, len(ways))
	for i, way := range ways {
		for j, n := range []**node{&from[i], &to[i]} {
			name := way.site + strconv.Itoa(j)
			site := w.site(name, way.nat)
			if way.only443 {
				site.router.Load(netnstest.OnlyTCP("wan-"+name, 443))
			}
			*n = w.member(name, site.lan)
			(*n).join(s)
			(*n).kith("forward", "off") // or members on the way are preferred to the relay
		}
		from[i].meets(to[i])
		w.between(from[i], to[i], patience, way.want)
		to[i].serveIperf()
		from[i].iperf(to[i].overlay().String(), 1)
	}
	for round := range rounds {
		for i := range ways {
			i = (i + round) % len(ways)
			rates[i] = append(rates[i], from[i].iperf(to[i].overlay().String(), seconds))
		}
	}
	table := [][]string{{"iperf3, Gbit/s", "median", "least", "most", "of direct"}}
	for i, way := range ways {
		r := rates[i]
		table = append(table, []string{
			way.name, fmt.Sprintf("%.3f", median(r)/1e9), fmt.Sprintf("%.3f", slices.Min(r)/1e9), fmt.Sprintf("%.3f", slices.Max(r)/1e9),
			fmt.Sprintf("%.0f %%", 100*median(r)/median(rates[0])),
		})
		w.between(from[i], to[i], patience, way.want)
	}
	print(append(table, []string{"the relay's VmRSS, MiB", fmt.Sprintf("%.1f", rss(t, s.cmd.Process.Pid))})...)
}
