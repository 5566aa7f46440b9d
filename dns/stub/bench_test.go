//go:build bench && linux

package stub

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	mdns "github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"kith.internal/dns"
)

const (
	benchHosts  = 5000 // each with an A and an AAAA record
	benchRounds = 5
	benchTime   = 2 // seconds, a run
	benchRate   = 20000
	benchCore   = "0" // the server's; dnsperf has the others
	benchEnv    = "KITH_BENCH_STUB"
)

// benchServer is one program that serves the zone at a port of 127.0.0.1.
type benchServer struct {
	name  string
	argv  func(dir string, port int) []string
	lacks string // the package that brings it
}

var benchServers = []benchServer{
	{"kith stub", func(_ string, port int) []string {
		return []string{os.Args[0], "-test.run", "^TestBenchDNS$"}
	}, ""},
	{"dnsmasq", func(dir string, port int) []string {
		return []string{"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-daemon", "--bind-interfaces",
			"--listen-address=127.0.0.1", "--port=" + strconv.Itoa(port), "--addn-hosts=" + filepath.Join(dir, "hosts"), "--local=/home.internal/", "--pid-file="}
	}, "dnsmasq-base"},
	{"unbound", func(dir string, port int) []string {
		return []string{"unbound", "-d", "-p", "-c", filepath.Join(dir, "unbound-"+strconv.Itoa(port))}
	}, "unbound"},
}

// TestBenchDNS measures the stub beside two others with the same zone: queries a
// second on one core, and the latency at a fixed rate. Where other work runs
// beside it, have it run under "chrt -r 5", so that all three get their core.
func TestBenchDNS(t *testing.T) {
	if at := os.Getenv(benchEnv); at != "" {
		serveBench(t, netip.MustParseAddrPort(at))
		return
	}
	if _, err := exec.LookPath("dnsperf"); err != nil {
		t.Skip("this needs dnsperf: apt-get install dnsperf dnsmasq-base unbound")
	}
	if runtime.NumCPU() < 2 {
		t.Fatal("this needs two cores: one for the server, one for dnsperf")
	}
	dir := t.TempDir()
	writeBenchZone(t, dir)
	type row struct {
		name          string
		rates         []float64
		p50, p99, max []time.Duration
		lost          int
	}
	var rows []*row
	ports := map[string]int{}
	for i, s := range benchServers {
		port := 5300 + i
		if startBench(t, s, dir, port) {
			rows, ports[s.name] = append(rows, &row{name: s.name}), port
		} else {
			t.Logf("%s is not here: apt-get install %s", s.name, s.lacks)
		}
	}
	for range benchRounds {
		for _, r := range rows {
			r.rates = append(r.rates, runRate(t, dir, ports[r.name]))
		}
	}
	for range benchRounds {
		for _, r := range rows {
			all, lost := runLatency(t, dir, ports[r.name])
			r.p50, r.p99, r.max = append(r.p50, all[len(all)/2]), append(r.p99, all[len(all)*99/100]), append(r.max, all[len(all)-1])
			r.lost += lost
		}
	}
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "one core, %d names\tqueries/s median\tbest\tp50 at %d/s\tp99 median\tp99 best\tlost\t\n", benchHosts, benchRate)
	for _, r := range rows {
		slices.Sort(r.rates)
		slices.Sort(r.p50)
		slices.Sort(r.p99)
		mid := benchRounds / 2
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%v\t%v\t%v\t%d\t\n", r.name, r.rates[mid], r.rates[benchRounds-1],
			r.p50[mid].Round(time.Microsecond), r.p99[mid].Round(time.Microsecond), r.p99[0].Round(time.Microsecond), r.lost)
	}
	w.Flush()
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("\n%sload average at the end: %s", out.String(), load)
}

func benchName(i int) string { return fmt.Sprintf("host-%d", i) }

func benchAddrs(i int) (v4, v6 netip.Addr) {
	return netip.AddrFrom4([4]byte{100, 101, byte(i >> 8), byte(i)}), ip(fmt.Sprintf("fd12:3456:789a::%x", i+1))
}

// writeBenchZone writes the zone as each server reads it, and the queries: two
// thirds A, a quarter AAAA, the rest names that are not there.
func writeBenchZone(t *testing.T, dir string) {
	var hosts, local, queries bytes.Buffer
	for i := range benchHosts {
		v4, v6 := benchAddrs(i)
		name := benchName(i) + ".home.internal"
		fmt.Fprintf(&hosts, "%v %s\n%v %s\n", v4, name, v6, name)
		fmt.Fprintf(&local, "  local-data: \"%s. 10 IN A %v\"\n  local-data: \"%s. 10 IN AAAA %v\"\n", name, v4, name, v6)
	}
	for i := range 20000 {
		name := benchName(i * 7919 % benchHosts)
		switch {
		case i%12 == 0:
			fmt.Fprintf(&queries, "nobody-%d.home.internal A\n", i%1000)
		case i%4 == 1:
			fmt.Fprintf(&queries, "%s.home.internal AAAA\n", name)
		default:
			fmt.Fprintf(&queries, "%s.home.internal A\n", name)
		}
	}
	write := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write("hosts", hosts.Bytes())
	write("queries", queries.Bytes())
	for i := range benchServers {
		write(fmt.Sprintf("unbound-%d", 5300+i), fmt.Appendf(nil, `server:
  interface: 127.0.0.1
  port: %d
  num-threads: 1
  use-syslog: no
  username: ""
  chroot: ""
  directory: "%s"
  do-not-query-localhost: yes
  local-zone: "home.internal." static
  local-data: "home.internal. 10 IN SOA home.internal. nobody.invalid. 1 3600 1200 604800 1"
%sremote-control:
  control-enable: no
`, 5300+i, dir, local.Bytes()))
	}
}

// startBench starts a server on one core and waits until it answers.
func startBench(t *testing.T, s benchServer, dir string, port int) bool {
	argv := s.argv(dir, port)
	path, err := exec.LookPath(argv[0])
	if err != nil {
		if path = filepath.Join("/usr/sbin", argv[0]); s.lacks == "" {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	cmd := exec.Command("taskset", append([]string{"-c", benchCore, path}, argv[1:]...)...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=127.0.0.1:%d", benchEnv, port), "GOMAXPROCS=1")
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s: %s", s.name, log.Bytes())
		}
	})
	c := &mdns.Client{Timeout: 200 * time.Millisecond}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		m, _, err := c.Exchange(new(mdns.Msg).SetQuestion(benchName(7)+".home.internal.", mdns.TypeA), fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil && len(m.Answer) == 1 {
			return true
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not answer: %s", s.name, log.Bytes())
	return false
}

// serveBench is the stub in a process of its own.
func serveBench(t *testing.T, at netip.AddrPort) {
	var hosts []dns.Host
	for i := range benchHosts {
		v4, v6 := benchAddrs(i)
		hosts = append(hosts, dns.Host{Name: benchName(i), V4: v4, V6: v6})
	}
	z, refused, err := dns.NewZone("home", []netip.Prefix{netip.MustParsePrefix("100.101.0.0/16"), netip.MustParsePrefix("fd12:3456:789a::/48")}, hosts)
	if err != nil || refused != nil {
		t.Fatal(err, refused)
	}
	zones, err := dns.NewZones(z)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Port: at.Port()})
	defer s.Close()
	s.Set(zones)
	if err := s.SetAddrs([]netip.Addr{at.Addr()}); err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	<-ctx.Done()
}

func dnsperf(t *testing.T, dir string, port int, args ...string) string {
	args = append([]string{"dnsperf", "-s", "127.0.0.1", "-p", strconv.Itoa(port), "-d", filepath.Join(dir, "queries"), "-l", strconv.Itoa(benchTime)}, args...)
	cores := fmt.Sprintf("1-%d", runtime.NumCPU()-1)
	out, err := exec.Command("taskset", append([]string{"-c", cores}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("dnsperf: %v: %s", err, out)
	}
	return string(out)
}

var rateLine = regexp.MustCompile(`Queries per second:\s+([0-9.]+)`)

func runRate(t *testing.T, dir string, port int) float64 {
	out := dnsperf(t, dir, port, "-c", "4", "-q", "200")
	m := rateLine.FindStringSubmatch(out)
	if m == nil {
		t.Fatal(out)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

var lostLine = regexp.MustCompile(`Queries lost:\s+([0-9]+)`)

// runLatency returns each query's latency, sorted, at the fixed rate.
func runLatency(t *testing.T, dir string, port int) (all []time.Duration, lost int) {
	out := dnsperf(t, dir, port, "-Q", strconv.Itoa(benchRate), "-v")
	for sc := bufio.NewScanner(strings.NewReader(out)); sc.Scan(); {
		f := strings.Fields(sc.Text())
		if len(f) == 5 && f[0] == ">" {
			if v, err := strconv.ParseFloat(f[4], 64); err == nil {
				all = append(all, time.Duration(v*1e9))
			}
		}
	}
	if m := lostLine.FindStringSubmatch(out); m != nil {
		lost, _ = strconv.Atoi(m[1])
	}
	if len(all) < benchRate {
		t.Fatalf("%d latencies: %.500s", len(all), out)
	}
	slices.Sort(all)
	return all, lost
}
