package nat

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/helper/internal/osnet/sysctl"
)

// envHelper has this test program be a helper that sets the configurations that
// it reads, one a line: all of it has to be in one network namespace.
const envHelper = "KITH_TEST_NAT"

func TestMain(m *testing.M) {
	if os.Getenv(envHelper) == "" {
		os.Exit(m.Run())
	}
	var j sysctl.Memory
	n, err := New(&j)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for in.Scan() {
		if in.Text() == "problems" {
			fmt.Println(n.Problems())
			continue
		}
		if in.Text() == "journal" {
			fmt.Println(j.Entries())
			continue
		}
		var c Config
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("set:", n.Set(c))
	}
}

// helper is such a process.
type helper struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(t testing.TB, h *netnstest.Host) *helper {
	t.Helper()
	cmd := h.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envHelper+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &helper{t, cmd, in, bufio.NewScanner(out)}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if got := p.line(); got != "ready" {
		t.Fatalf("the helper says %q", got)
	}
	return p
}

func (p *helper) line() string {
	p.t.Helper()
	if !p.out.Scan() {
		p.t.Fatal("the helper is gone")
	}
	return p.out.Text()
}

func (p *helper) ask(line string) string {
	p.t.Helper()
	if _, err := p.in.Write([]byte(line + "\n")); err != nil {
		p.t.Fatal(err)
	}
	return p.line()
}

func (p *helper) set(c Config) {
	p.t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		p.t.Fatal(err)
	}
	if got := p.ask(string(b)); got != "set: <nil>" {
		p.t.Fatal(got)
	}
}

// world is a member of an overlay, whose TUN is a link named kith0, an exit with
// a LAN of its own and an uplink, and a public host beyond a router.
type world struct {
	t                                  *testing.T
	member, exit, lan, router, public_ *netnstest.Host
}

const (
	member4, member6 = "100.80.0.2", "fd12::2"
	lan4, lan6       = "192.168.7.7", "2001:db8:7::7"
	public4, public6 = "198.51.100.2", "2001:db8:2::2"
)

func newWorld(t *testing.T) *world {
	b := netnstest.New(t)
	w := &world{t, b.Host("member"), b.Host("exit"), b.Host("lan"), b.Host("router"), b.Host("public")}
	overlay, home, up, pub := b.LAN("kith0"), b.LAN("home"), b.LAN("wan"), b.LAN("pub")
	attach := func(h *netnstest.Host, l *netnstest.LAN, addrs ...string) {
		h.Attach(l, prefixes(addrs...)...)
	}
	attach(w.member, overlay, member4+"/16", member6+"/48")
	attach(w.exit, overlay, "100.80.0.1/16", "fd12::1/48")
	attach(w.exit, home, "192.168.7.1/24", "2001:db8:7::1/64")
	attach(w.exit, up, "203.0.113.2/24", "2001:db8:1::2/64")
	attach(w.lan, home, lan4+"/24", lan6+"/64")
	attach(w.router, up, "203.0.113.1/24", "2001:db8:1::1/64")
	attach(w.router, pub, "198.51.100.1/24", "2001:db8:2::1/64")
	attach(w.public_, pub, public4+"/24", public6+"/64")
	w.sh(w.router, "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	w.sh(w.member, "ip route add default via 100.80.0.1; ip -6 route add default via fd12::1")
	w.sh(w.exit, "ip route add default via 203.0.113.1; ip -6 route add default via 2001:db8:1::1")
	w.sh(w.public_, "ip route add default via 198.51.100.1; ip -6 route add default via 2001:db8:2::1")
	w.sh(w.lan, "ip route add default via 192.168.7.1; ip -6 route add default via 2001:db8:7::1")
	return w
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func (w *world) sh(h *netnstest.Host, line string) string {
	w.t.Helper()
	return h.Run("sh", "-ec", line)
}

// reach has a host ping others at once, and holds against want who answers.
func (w *world) reach(from *netnstest.Host, want map[string]bool) {
	w.t.Helper()
	var line strings.Builder
	for dst, yes := range want {
		limit := "-W1"
		if yes {
			limit = "-w20" // to the first answer
		}
		fmt.Fprintf(&line, "(ping -c1 %s %s >/dev/null && echo %[2]s || true) & ", limit, dst)
	}
	got := map[string]bool{}
	for dst := range want {
		got[dst] = false
	}
	for _, dst := range strings.Fields(w.sh(from, line.String()+"wait")) {
		got[dst] = true
	}
	if d := cmp.Diff(want, got); d != "" {
		w.t.Errorf("who is reached from %s (-want +got):\n%s", from.Namespace, d)
	}
}

func (w *world) offer() Offer {
	for _, i := range w.exit.Interfaces() {
		if i.Name == "kith0" {
			return Offer{TUN: i.Name, Index: i.Index, Sources: prefixes("100.80.0.0/16", "fd12::/48")}
		}
	}
	w.t.Fatal("no kith0")
	return Offer{}
}
