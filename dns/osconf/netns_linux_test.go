package osconf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"kith.internal/dns"
	"kith.internal/dns/forward"
	"kith.internal/dns/plan"
	"kith.internal/dns/stub"
)

const (
	childEnv    = "KITH_OSCONF_CHILD" // what a copy of this test does inside a namespace
	childState  = "KITH_OSCONF_STATE"
	nsUpstream  = "192.0.2.53"
	nsResolv    = "# the host's own\nnameserver 192.0.2.1\nnameserver 192.0.2.53\nsearch corp.example\noptions timeout:1 attempts:1\n"
	nsStub4     = "100.101.0.1"
	nsStub6     = "fd12:3456:789a::1"
	nsPeerName  = "phone"
	nsPeer4     = "100.101.0.2"
	nsPublic    = "203.0.113.7"
	nsPeerReach = "10.99.0.2"
)

// child is the other side of the tests: a small kithd.
func child(mode string) int {
	var err error
	switch mode {
	case "serve":
		err = serve(os.Getenv(childState))
	case "restore":
		err = Restore(Config{StateDir: os.Getenv(childState)})
	case "ask":
		err = askStub()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// serve runs an upstream, the forwarder, the stub and the manager until its
// standard input ends.
func serve(state string) error {
	pc, err := net.ListenPacket("udp", nsUpstream+":53")
	if err != nil {
		return err
	}
	upstream := &mdns.Server{PacketConn: pc, Handler: mdns.HandlerFunc(func(w mdns.ResponseWriter, q *mdns.Msg) {
		r := new(mdns.Msg).SetReply(q)
		if !strings.EqualFold(q.Question[0].Name, "www.corp.example.") {
			r.Rcode = mdns.RcodeNameError
		} else if q.Question[0].Qtype == mdns.TypeA {
			r.Answer = []mdns.RR{&mdns.A{Hdr: mdns.RR_Header{Name: q.Question[0].Name, Rrtype: 1, Class: 1, Ttl: 5}, A: net.ParseIP(nsPublic).To4()}}
		}
		w.WriteMsg(r)
	})}
	go upstream.ActivateAndServe()
	self4, self6, peer := netip.MustParseAddr(nsStub4), netip.MustParseAddr(nsStub6), netip.MustParseAddr(nsPeer4)
	zone, _, err := dns.NewZone("home", []netip.Prefix{netip.MustParsePrefix("100.101.0.0/16"), netip.MustParsePrefix("fd12:3456:789a::/48")},
		[]dns.Host{{Name: "laptop", V4: self4, V6: self6}, {Name: nsPeerName, V4: peer}})
	if err != nil {
		return err
	}
	zones, err := dns.NewZones(zone)
	if err != nil {
		return err
	}
	m, err := New(Config{StateDir: state, Hostname: func() (string, error) { return "box", nil }})
	if err != nil {
		return err
	}
	f := forward.New(forward.Config{})
	f.Set(forward.Table{Default: m.Base().Nameservers, Own: []netip.Addr{self4, self6}})
	s := stub.New(stub.Config{Forward: f})
	s.Set(zones)
	if err := s.SetAddrs([]netip.Addr{self4, self6}); err != nil {
		return err
	}
	p := plan.Make(plan.Input{Zones: zones, Stub: []netip.Addr{self4, self6}, BaseSearch: m.Base().Search}, m.Abilities())
	if err := m.Set(p.OS); err != nil {
		return err
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	return errors.Join(m.Close(), s.Close(), f.Close(), upstream.Shutdown())
}

// askStub asks the stub from another host; it fails unless there is silence.
func askStub() error {
	for _, network := range []string{"udp", "tcp"} {
		c := &mdns.Client{Net: network, Timeout: time.Second}
		in, _, err := c.Exchange(new(mdns.Msg).SetQuestion("laptop.home.internal.", mdns.TypeA), nsStub4+":53")
		if err == nil {
			return fmt.Errorf("an answer over %s to another host: %v", network, in)
		}
	}
	return nil
}

// netns is a namespace whose /etc/resolv.conf is a bind mount.
type netns struct {
	t    *testing.T
	name string
	etc  string
}

func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func newNetns(t *testing.T, suffix string) *netns {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n := &netns{t: t, name: fmt.Sprintf("kithdns%d%s", os.Getpid(), suffix)}
	n.etc = filepath.Join("/etc/netns", n.name)
	if err := os.MkdirAll(n.etc, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(n.etc) })
	if err := os.WriteFile(n.resolv(), []byte(nsResolv), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", n.name).Run() })
	n.exec("ip", "link", "set", "lo", "up")
	return n
}

func (n *netns) resolv() string { return filepath.Join(n.etc, "resolv.conf") }

func (n *netns) exec(args ...string) string {
	n.t.Helper()
	return run(n.t, append([]string{"ip", "netns", "exec", n.name}, args...)...)
}

// self starts a copy of this test inside.
func (n *netns) self(mode, state string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", n.name, exe)
	cmd.Env = append(os.Environ(), childEnv+"="+mode, childState+"="+state)
	cmd.Stderr = os.Stderr
	return cmd
}

// start runs the server and waits until it is ready; stop ends it properly.
func (n *netns) start(state string) (cmd *exec.Cmd, stop func()) {
	n.t.Helper()
	cmd = n.self("serve", state)
	in, err := cmd.StdinPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		n.t.Fatalf("the server said %q, %v", line, err)
	}
	return cmd, func() {
		n.t.Helper()
		in.Close()
		if err := cmd.Wait(); err != nil {
			n.t.Errorf("the server ended with %v", err)
		}
	}
}

func (n *netns) addresses() {
	for _, a := range []string{nsStub4 + "/32", nsPeer4 + "/32", nsUpstream + "/32"} {
		n.exec("ip", "addr", "add", a, "dev", "lo")
	}
	n.exec("ip", "-6", "addr", "add", nsStub6+"/128", "dev", "lo")
}

// TestNetnsResolves is the whole way: libc asks what /etc/resolv.conf, a bind
// mount, says; the stub answers ours and has the rest from the host's own
// resolvers, one of which is dead; at the end all is as it was.
func TestNetnsResolves(t *testing.T) {
	n := newNetns(t, "")
	n.addresses()
	state := t.TempDir()
	_, stop := n.start(state)
	if b, err := os.ReadFile(n.resolv()); err != nil || !isOurs(b) {
		t.Fatalf("not applied: %q, %v", b, err)
	}
	for _, tt := range []struct{ args, want string }{
		{"getent ahostsv4 phone.home.internal", nsPeer4},
		{"getent ahostsv4 phone", nsPeer4},
		{"getent ahostsv4 PHONE.Home.Internal", nsPeer4},
		{"getent ahostsv6 laptop", nsStub6},
		{"getent hosts " + nsPeer4, "phone.home.internal"},
		{"getent hosts " + nsStub6, "laptop.home.internal"},
		{"getent ahostsv4 www.corp.example", nsPublic},
		{"getent ahostsv4 www", nsPublic}, // the host's own search domain still counts
		{"ping -c 1 -W 2 phone", nsPeer4},
	} {
		if out := n.exec(strings.Fields(tt.args)...); !strings.Contains(out, tt.want) {
			t.Errorf("%s: %q, want %s", tt.args, out, tt.want)
		}
	}
	if out, err := exec.Command("ip", "netns", "exec", n.name, "getent", "hosts", "nobody.home.internal").Output(); err == nil {
		t.Errorf("a name that is nobody's resolves: %s", out)
	}
	stop()
	n.clean(state)
}

func (n *netns) clean(state string) {
	n.t.Helper()
	if b, err := os.ReadFile(n.resolv()); err != nil || !bytes.Equal(b, []byte(nsResolv)) {
		n.t.Errorf("not restored: %q, %v", b, err)
	}
	for _, dir := range []string{n.etc, state} {
		left, err := os.ReadDir(dir)
		if err != nil || dir == state && len(left) > 0 || dir == n.etc && len(left) != 1 {
			n.t.Errorf("left in %s: %v, %v", dir, left, err)
		}
	}
}

func TestNetnsRestoredAfterKill(t *testing.T) {
	n := newNetns(t, "k")
	n.addresses()
	state := t.TempDir()
	cmd, _ := n.start(state)
	// ip execs the program in its place, so this is the server's own process.
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if b, _ := os.ReadFile(n.resolv()); !isOurs(b) {
		t.Fatalf("a killed server restored: %q", b)
	}
	if err := n.self("restore", state).Run(); err != nil {
		t.Fatalf("restore: %v", err)
	}
	n.clean(state)
}

// TestNetnsOffHost asks from a second host, which has a route to the stub.
func TestNetnsOffHost(t *testing.T) {
	n, other := newNetns(t, "a"), newNetns(t, "b")
	n.addresses()
	run(t, "ip", "-n", n.name, "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", other.name)
	n.exec("ip", "addr", "add", "10.99.0.1/24", "dev", "v0")
	n.exec("ip", "link", "set", "v0", "up")
	other.exec("ip", "addr", "add", nsPeerReach+"/24", "dev", "v0")
	other.exec("ip", "link", "set", "v0", "up")
	other.exec("ip", "route", "add", nsStub4, "via", "10.99.0.1")
	_, stop := n.start(t.TempDir())
	defer stop()
	other.exec("ping", "-c", "1", "-W", "5", nsStub4) // it could
	cmd := other.self("ask", "")
	cmd.Stderr = nil
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
