package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
	"kith.internal/ipc/client"
)

// patience bounds what must happen and has no budget of its own.
const patience = 20 * time.Second

// node is a host that runs kithd.
type node struct {
	t      testing.TB
	host   *netnstest.Host
	name   string
	dir    string
	kithd  string   // the program
	env    []string // more for kithd
	cmd    *exec.Cmd
	exited chan error
	ipc    *client.Client
}

// newNode makes a host on lan, if any, with kithd running.
func newNode(t testing.TB, b *netnstest.Bed, name string, lan *netnstest.LAN, addrs ...string) *node {
	t.Helper()
	n := bareNode(t, b, name)
	if lan != nil {
		var prefixes []netip.Prefix
		for _, a := range addrs {
			prefixes = append(prefixes, prefix(a))
		}
		n.host.Attach(lan, prefixes...)
	}
	n.start()
	return n
}

// bareNode makes a host on no LAN without kithd running.
func bareNode(t testing.TB, b *netnstest.Bed, name string) *node {
	t.Helper()
	h := b.Host(name)
	n := &node{t: t, host: h, name: name, dir: filepath.Join(t.TempDir(), name), kithd: program(t, "kithd")}
	etc := filepath.Join("/etc/netns", h.Namespace)
	must(t, os.MkdirAll(etc, 0o755))
	t.Cleanup(func() { os.RemoveAll(etc) })
	must(t, os.WriteFile(filepath.Join(etc, "resolv.conf"), nil, 0o644))
	must(t, os.MkdirAll(n.dir, 0o755))
	n.ipc = client.New(client.Options{Socket: n.socket()})
	t.Cleanup(n.ipc.Close)
	t.Cleanup(n.dumpLog)
	t.Cleanup(n.kill)
	return n
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) socket() string { return filepath.Join(n.dir, "s") }
func (n *node) state() string  { return filepath.Join(n.dir, "state") }

// launch starts kithd and does not wait for it.
func (n *node) launch() {
	n.t.Helper()
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(n.t, err)
	defer log.Close()
	// "ip netns exec" becomes the program: its process is kithd's.
	n.cmd = n.host.Command(n.kithd, append([]string{"run", "--state-dir", n.state(), "--socket", n.socket()}, runFlags...)...)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.Env = append(os.Environ(), n.env...)
	must(n.t, n.cmd.Start())
	cmd, exited := n.cmd, make(chan error, 1)
	n.exited = exited
	go func() { exited <- cmd.Wait() }()
}

// start starts kithd and waits until it answers.
func (n *node) start() {
	n.t.Helper()
	n.launch()
	until(n.t, "kithd answers on "+n.name, patience, func() bool { return n.try("status").code == 0 })
}

// kill ends kithd with SIGKILL.
func (n *node) kill() {
	if n.cmd == nil {
		return
	}
	n.cmd.Process.Kill()
	<-n.exited
	n.cmd = nil
}

// term ends kithd with SIGTERM and expects it to say that all is well.
func (n *node) term() {
	n.t.Helper()
	must(n.t, n.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-n.exited:
		n.cmd = nil
		if err != nil {
			n.t.Errorf("kithd on %s ends with %v after SIGTERM", n.name, err)
		}
	case <-time.After(patience):
		n.t.Fatalf("kithd on %s does not end after SIGTERM", n.name)
	}
}

func (n *node) dumpLog() {
	if !n.t.Failed() {
		return
	}
	b, err := os.ReadFile(filepath.Join(n.dir, "log"))
	lines := strings.SplitAfter(string(b), "\n")
	n.t.Logf("log of %s (%v):\n%s", n.name, err, strings.Join(lines[max(0, len(lines)-120):], ""))
}

// answer is what a command said.
type answer struct {
	out, err string
	code     int
}

// run runs a command in the node's namespace.
func (n *node) run(cmd *exec.Cmd, stdin string) answer {
	n.t.Helper()
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Stdin = &out, &stderr, strings.NewReader(stdin)
	err := cmd.Run()
	a := answer{out: out.String(), err: stderr.String()}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		a.code = exit.ExitCode()
	} else if err != nil {
		n.t.Fatalf("%s: %v", strings.Join(cmd.Args, " "), err)
	}
	return a
}

func (n *node) command(args ...string) *exec.Cmd {
	return n.host.Command(program(n.t, "kith"), append([]string{"--socket", n.socket()}, args...)...)
}

// try runs kith, whatever comes of it.
func (n *node) try(args ...string) answer {
	n.t.Helper()
	return n.run(n.command(args...), "")
}

// kith runs kith and expects it to succeed; it returns standard output.
func (n *node) kith(args ...string) string {
	n.t.Helper()
	return n.kithIn("", args...)
}

// kithIn is kith with something on its standard input.
func (n *node) kithIn(stdin string, args ...string) string {
	n.t.Helper()
	a := n.run(n.command(args...), stdin)
	if a.code != 0 {
		n.t.Fatalf("%s: kith %s: exit code %d: %s", n.name, strings.Join(args, " "), a.code, a.err)
	}
	return a.out
}

// read runs kith with --json and decodes what it prints.
func read[T any](n *node, args ...string) (v T) {
	n.t.Helper()
	out := n.kith(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		n.t.Fatalf("%s: kith %s --json: %v in %s", n.name, strings.Join(args, " "), err, out)
	}
	return v
}

func (n *node) status() ipc.Status { n.t.Helper(); return read[ipc.Status](n, "status") }

// network is the node's network of this alias, or its only one.
func (n *node) network(alias ...string) ipc.Network {
	n.t.Helper()
	all := n.status().Networks
	for _, w := range all {
		if len(alias) == 0 && len(all) == 1 || len(alias) == 1 && w.Alias == alias[0] {
			return w
		}
	}
	n.t.Fatalf("%s: no network %q among %+v", n.name, alias, all)
	return ipc.Network{}
}

// peer is what the node says of a peer in its only network; its zero value
// where there is none.
func (n *node) peer(name string) ipc.Peer {
	n.t.Helper()
	for _, p := range n.network().Peers {
		if p.Name == name {
			return p
		}
	}
	return ipc.Peer{}
}

func (n *node) health(code string) bool {
	n.t.Helper()
	for _, h := range n.status().Health {
		if h.Code == code {
			return true
		}
	}
	return false
}

func (n *node) digest() string { n.t.Helper(); return read[ipc.RosterList](n, "roster").Digest }

// create founds a network and returns its root phrase.
func (n *node) create(network string) string {
	n.t.Helper()
	file := filepath.Join(n.dir, "phrase-"+network)
	n.kith("create", network, "--device", n.name, "--phrase-file", file)
	b, err := os.ReadFile(file)
	must(n.t, err)
	return string(b)
}

// invite is a link from n.
func (n *node) invite(args ...string) string {
	n.t.Helper()
	return n.kith(append([]string{"invite"}, args...)...)
}

// join takes n into the network of sponsor's.
func (n *node) join(sponsor *node) {
	n.t.Helper()
	n.kithIn(sponsor.invite(), "join", "-", "--device", n.name)
}

// ping is one echo by the system's own ping; what the name means is asked of
// the system's resolver.
func (n *node) ping(target string, args ...string) bool {
	n.t.Helper()
	return n.run(n.host.Command("ping", append(args, "-n", "-c", "1", "-W", "1", target)...), "").code == 0
}

// reach waits for the first answered ping and returns how long that took.
func (n *node) reach(target string, limit time.Duration, args ...string) time.Duration {
	n.t.Helper()
	return until(n.t, n.name+" reaches "+target, limit, func() bool { return n.ping(target, args...) })
}

// until polls ok and returns how long it took; the test fails after limit.
func until(t testing.TB, what string, limit time.Duration, ok func() bool) time.Duration {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		if ok() {
			return time.Since(start)
		}
		if since := time.Since(start); since > limit {
			t.Fatalf("not within %v: %s", since.Round(time.Millisecond), what)
		}
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }
