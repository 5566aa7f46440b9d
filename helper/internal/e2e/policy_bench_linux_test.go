//go:build bench

package e2e

import (
	"fmt"
	"strings"
	"testing"

	"kith.internal/ipc"
)

// TestBenchPolicy runs iperf3 with a policy of 1,000 rules and with none, in
// turns, between the same two nodes: both of them judge each packet.
func TestBenchPolicy(t *testing.T) {
	const rounds, seconds, rules = 15, 2, 1000
	_, a, b := pair(t)
	a.create("home")
	b.join(a)
	b.reach("a.home.internal", patience)
	var many strings.Builder
	many.WriteString(`{"allow":[`)
	for i := range rules - 1 {
		fmt.Fprintf(&many, `{"from":["b"],"to":["a"],"ports":["%d/tcp"]},`+"\n", 7+9*i)
	}
	many.WriteString(`{"from":["a"],"to":["b"]}]}`)
	const port = "5209" // 7 + 9*578
	server := a.host.Command("iperf3", "-s", "-p", port)
	must(t, server.Start())
	t.Cleanup(func() { server.Process.Kill(); server.Wait() })

	ways := []struct{ name, policy string }{{"no policy", ""}, {"1,000 rules", many.String()}}
	addr, pids := a.network().Self.IPv4.String(), []int{a.cmd.Process.Pid, b.cmd.Process.Pid}
	var rates, costs [2][]float64
	for round := range rounds {
		for i := range ways {
			i = (i + round) % 2 // neither is always the first
			a.policy(ways[i].policy)
			until(t, "the policy is on b", patience, func() bool {
				return read[ipc.PolicyAnswer](b, "policy", "show").Text == ways[i].policy
			})
			b.iperf(addr, 1, "-p", port)
			before := cpu(t, pids...)
			rate := b.iperf(addr, seconds, "-p", port)
			rates[i] = append(rates[i], rate)
			costs[i] = append(costs[i], (cpu(t, pids...)-before)/rate)
		}
	}
	none, all := median(rates[0]), median(rates[1])
	t.Logf("%s: %.3g, %s: %.3g", ways[0].name, rates[0], ways[1].name, rates[1])
	print(
		[]string{"iperf3, Gbit/s, medians", ways[0].name, ways[1].name, "ratio", "budget", "processor, ratio a byte"},
		[]string{"single stream", fmt.Sprintf("%.3f", none/1e9), fmt.Sprintf("%.3f", all/1e9), fmt.Sprintf("%.1f %%", 100*all/none), "97 %",
			fmt.Sprintf("%.1f %%", 100*median(costs[1])/median(costs[0]))},
	)
	if all < 0.9*none {
		t.Errorf("a policy of 1,000 rules leaves %.1f %%", 100*all/none)
	}
}
