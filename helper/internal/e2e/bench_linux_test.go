//go:build bench

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

func median[T int64 | float64 | time.Duration](v []T) T {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// print shows a table on standard output.
func print(rows ...[]string) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	w.Flush()
}

// TestBenchJoin measures how long two hosts on one LAN take to reach each other
// by name, from kith join and from the start of both helpers after SIGKILL.
func TestBenchJoin(t *testing.T) {
	const runs = 10
	var joins, restarts []time.Duration
	for i := range runs {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			_, a, b := pair(t)
			a.create("home")
			link := a.invite()
			start := time.Now()
			b.kithIn(link, "join", "-", "--device", "b")
			b.reach("a.home.internal", patience)
			joins = append(joins, time.Since(start))
			a.kill()
			b.kill()
			start = time.Now()
			a.launch()
			b.launch()
			b.reach("a.home.internal", patience)
			restarts = append(restarts, time.Since(start))
		})
	}
	if len(joins) != runs || len(restarts) != runs {
		t.Fatal("a run failed")
	}
	row := func(what string, d []time.Duration, budget time.Duration) []string {
		if median(d) > budget {
			t.Errorf("%s: median %v, budget %v", what, median(d), budget)
		}
		ms := func(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d)/1e6) }
		return []string{what, ms(median(d)), ms(slices.Min(d)), ms(slices.Max(d)), ms(budget)}
	}
	print(
		[]string{"to the first answered ping by name", "median", "least", "most", "budget"},
		row("from kith join", joins, time.Second),
		row("from the start of both, killed before", restarts, 2*time.Second),
	)
}

// TestBenchIperf runs iperf3 through Kith and through plain wireguard-go, in
// turns, between the same two namespaces. The processor's time a byte is what
// remains comparable where other work shares the machine.
func TestBenchIperf(t *testing.T) {
	const rounds, seconds = 3, 5
	_, a, b := pair(t)
	a.create("home")
	b.join(a)
	b.reach("a.home.internal", patience)
	plainA, plainB := startPlain(t, a, b)
	b.reach("10.99.0.1", patience)
	a.serveIperf()

	ways := []struct {
		name, addr string
		pids       []int
	}{
		{"plain wireguard-go", "10.99.0.1", []int{plainA, plainB}},
		{"kith", a.network().Self.IPv4.String(), []int{a.cmd.Process.Pid, b.cmd.Process.Pid}},
	}
	for _, w := range ways {
		b.iperf(w.addr, 1)
	}
	rows := [][]string{{"iperf3, Gbit/s, medians", ways[0].name, ways[1].name, "ratio", "budget", "processor, ratio a byte", "most VmRSS so far, MiB (budget 96)"}}
	for _, mode := range []struct {
		name  string
		flags []string
	}{{"single stream", nil}, {"-P 10", []string{"-P", "10"}}, {"-R", []string{"-R"}}} {
		var rates, costs [2][]float64
		for round := range rounds {
			for i := range ways {
				i = (i + round) % 2 // neither is always the first
				before := cpu(t, ways[i].pids...)
				rate := b.iperf(ways[i].addr, seconds, mode.flags...)
				rates[i] = append(rates[i], rate)
				costs[i] = append(costs[i], (cpu(t, ways[i].pids...)-before)/rate)
			}
		}
		plain, kith := median(rates[0]), median(rates[1])
		rows = append(rows, []string{
			mode.name, fmt.Sprintf("%.3f", plain/1e9), fmt.Sprintf("%.3f", kith/1e9), fmt.Sprintf("%.1f %%", 100*kith/plain), "97 %",
			fmt.Sprintf("%.1f %%", 100*median(costs[1])/median(costs[0])),
			fmt.Sprintf("%.0f and %.0f, %.0f and %.0f", peakRSS(t, plainA), peakRSS(t, plainB), peakRSS(t, ways[1].pids[0]), peakRSS(t, ways[1].pids[1])),
		})
		t.Logf("%s: plain %.3g, kith %.3g", mode.name, rates[0], rates[1])
		if kith < 0.9*plain {
			t.Errorf("%s: %.1f %% of plain wireguard-go", mode.name, 100*kith/plain)
		}
	}
	print(rows...)
	<-time.After(time.Minute)
	print([]string{"a quiet minute later, VmRSS, MiB", fmt.Sprintf("%.1f and %.1f", rss(t, ways[1].pids[0]), rss(t, ways[1].pids[1])), "budget 32"})
}

func (n *node) serveIperf() {
	n.t.Helper()
	server := n.host.Command("iperf3", "-s")
	must(n.t, server.Start())
	n.t.Cleanup(func() { server.Process.Kill(); server.Wait() })
}

// iperf runs iperf3 against a node that serves it and returns bits a second.
func (n *node) iperf(addr string, seconds int, flags ...string) float64 {
	n.t.Helper()
	args := append([]string{"-J", "-t", strconv.Itoa(seconds), "-c", addr}, flags...)
	var last string
	for range 5 { // the server is busy for a moment after a client
		out, err := n.host.Command("iperf3", args...).Output()
		var r struct {
			End struct {
				Received struct {
					Rate float64 `json:"bits_per_second"`
				} `json:"sum_received"`
			} `json:"end"`
		}
		if json.Unmarshal(out, &r) == nil && err == nil && r.End.Received.Rate > 0 {
			return r.End.Received.Rate
		}
		last = string(out)
		<-time.After(200 * time.Millisecond)
	}
	n.t.Fatalf("iperf3 -c %s: %s", addr, last)
	return 0
}

// TestBenchIdle leaves a helper with two peers alone for five minutes.
func TestBenchIdle(t *testing.T) {
	const quiet = 5 * time.Minute
	bed := newBed(t)
	var nodes []*node
	for i, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, bed.start(name))
		if i == 0 {
			nodes[0].create("home")
		} else {
			nodes[i].join(nodes[0])
			nodes[i].reach("a.home.internal", patience)
		}
	}
	nodes[1].reach("c.home.internal", patience)
	began := make([]float64, len(nodes))
	for i, n := range nodes {
		began[i] = cpu(t, n.cmd.Process.Pid)
	}
	start := time.Now()
	<-time.After(quiet)
	rows := [][]string{{"idle for " + quiet.String() + ", two peers", "VmRSS, MiB", "core, %"}}
	for i, n := range nodes {
		share := 100 * (cpu(t, n.cmd.Process.Pid) - began[i]) / time.Since(start).Seconds()
		mem := rss(t, n.cmd.Process.Pid)
		rows = append(rows, []string{n.name, fmt.Sprintf("%.1f", mem), fmt.Sprintf("%.3f", share)})
		if mem > 25 || share > 0.1 {
			t.Errorf("%s: %.1f MiB and %.3f %% of a core, budget 25 and 0.1", n.name, mem, share)
		}
	}
	print(append(rows, []string{"budget", "25", "0.1"})...)
}

// cpu is the processor time that processes have used, in seconds (proc(5),
// stat, fields 14 and 15, in ticks of 10 ms).
func cpu(t testing.TB, pids ...int) (seconds float64) {
	t.Helper()
	for _, pid := range pids {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
		must(t, err)
		f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
		for _, ticks := range f[11:13] {
			n, err := strconv.ParseFloat(ticks, 64)
			must(t, err)
			seconds += n / 100
		}
	}
	return seconds
}

// rss is a process's resident memory in MiB, and peakRSS the most that it was
// (proc_pid_status(5)).
func rss(t testing.TB, pid int) float64     { t.Helper(); return memory(t, pid, "VmRSS:") }
func peakRSS(t testing.TB, pid int) float64 { t.Helper(); return memory(t, pid, "VmHWM:") }

func memory(t testing.TB, pid int, field string) float64 {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	must(t, err)
	_, rest, _ := strings.Cut(string(b), field)
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	must(t, err)
	return kib / 1024
}
