package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
	"kith.internal/ipc/client"
)

// patience bounds what must happen.
const patience = time.Minute

// slow is how many times as long as its budget a busy machine may take for
// something. The benchmarks judge medians by the budgets themselves.
const slow = 5

// node is a host that runs kithd.
type node struct {
	t      testing.TB
	host   *netnstest.Host
	name   string
	dir    string
	kithd  string   // the program
	env    []string // more for kithd
	wrap   []string // a command that runs kithd
	cmd    *exec.Cmd
	exited chan error
	from   int64 // where in its log the last run of kithd begins
	ipc    *client.Client
}

// bareNode makes a host on no LAN without kithd running. Another user may get
// at its directory.
func bareNode(t testing.TB, b *netnstest.Bed, name string) *node {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "kith") // a socket's path is at most 108 bytes
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	n := &node{t: t, host: b.Host(name), name: name, dir: dir, kithd: program(t, "kithd")}
	// What is there stands over the machine's own in the namespace.
	etc := filepath.Dir(n.resolv())
	must(t, os.MkdirAll(etc, 0o755))
	t.Cleanup(func() { os.RemoveAll(etc) })
	must(t, os.WriteFile(n.resolv(), []byte("# mine\n"), 0o644))
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

func (n *node) socket() string { return filepath.Join(n.dir, "run", "s") }
func (n *node) state() string  { return filepath.Join(n.dir, "state") }
func (n *node) resolv() string { return filepath.Join("/etc/netns", n.host.Namespace, "resolv.conf") }

// launch starts kithd and does not wait for it.
func (n *node) launch(args ...string) {
	n.t.Helper()
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(n.t, err)
	defer log.Close()
	n.from, err = log.Seek(0, io.SeekEnd)
	must(n.t, err)
	line := append(append([]string{}, n.wrap...), n.kithd, "run", "--state-dir", n.state(), "--socket", n.socket())
	line = append(append(line, runFlags...), args...)
	// "ip netns exec" becomes the program: its process is kithd's.
	n.cmd = n.host.Command(line[0], line[1:]...)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.Env = append(os.Environ(), n.env...)
	must(n.t, n.cmd.Start())
	cmd, exited := n.cmd, make(chan error, 1)
	n.exited = exited
	go func() { exited <- cmd.Wait() }()
}

// start starts kithd and waits until it answers.
func (n *node) start(args ...string) {
	n.t.Helper()
	n.launch(args...)
	until(n.t, "kithd answers on "+n.name, patience, func() bool { return n.try("status").code == 0 })
}

// refuses starts kithd, which is to end by itself, and returns its exit code.
func (n *node) refuses() int {
	n.t.Helper()
	n.launch()
	return n.wait()
}

// end signals kithd and returns its exit code, -1 for a kill.
func (n *node) end(sig syscall.Signal) int {
	n.t.Helper()
	must(n.t, n.cmd.Process.Signal(sig))
	return n.wait()
}

// wait waits for kithd's end.
func (n *node) wait() int {
	n.t.Helper()
	cmd := n.cmd
	select {
	case <-n.exited:
		n.cmd = nil
	case <-time.After(patience):
		n.t.Fatalf("kithd on %s does not end", n.name)
	}
	return cmd.ProcessState.ExitCode()
}

// kill ends kithd, if it runs, with SIGKILL.
func (n *node) kill() {
	if n.cmd != nil {
		n.end(syscall.SIGKILL)
	}
}

// term ends kithd with SIGTERM and expects it to say that all is well.
func (n *node) term() {
	n.t.Helper()
	if code := n.end(syscall.SIGTERM); code != 0 {
		n.t.Errorf("kithd on %s ends with %d after SIGTERM: %s", n.name, code, n.said())
	}
}

// said is what the last run of kithd has written to its log.
func (n *node) said() string {
	b, _ := os.ReadFile(filepath.Join(n.dir, "log"))
	return string(b[min(n.from, int64(len(b))):])
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

func (a answer) String() string {
	return fmt.Sprintf("exit code %d\nout: %s\nerr: %s", a.code, a.out, a.err)
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

// exec is run with a command line.
func (n *node) exec(stdin string, line ...string) answer {
	n.t.Helper()
	return n.run(n.host.Command(line[0], line[1:]...), stdin)
}

// try runs kith, whatever comes of it.
func (n *node) try(args ...string) answer {
	n.t.Helper()
	return n.tryIn("", args...)
}

// tryIn is try with something on kith's standard input.
func (n *node) tryIn(stdin string, args ...string) answer {
	n.t.Helper()
	return n.exec(stdin, append([]string{program(n.t, "kith"), "--socket", n.socket()}, args...)...)
}

// kith runs kith and expects it to succeed; it returns standard output.
func (n *node) kith(args ...string) string {
	n.t.Helper()
	return n.kithIn("", args...)
}

// kithIn is kith with something on its standard input.
func (n *node) kithIn(stdin string, args ...string) string {
	n.t.Helper()
	a := n.tryIn(stdin, args...)
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

// warning waits for a warning and returns its text.
func (n *node) warning(code string) (text string) {
	n.t.Helper()
	n.await("the warning "+code, func(st ipc.Status) bool {
		for _, h := range st.Health {
			if h.Code == code {
				text = h.Text
				return true
			}
		}
		return false
	})
	return text
}

// fine tells that nothing is wrong; what is but worth knowing may be said.
func fine(st ipc.Status) bool {
	return !slices.ContainsFunc(st.Health, func(h ipc.Health) bool { return h.Severity != ipc.SeverityInfo })
}

// await waits until the status is as wanted.
func (n *node) await(what string, ok func(ipc.Status) bool) {
	n.t.Helper()
	until(n.t, n.name+": "+what, patience, func() bool { return ok(n.status()) })
}

// refuse wants an exit code and each of the words on standard error, and
// nothing on standard output.
func (n *node) refuse(a answer, code int, words ...string) {
	n.t.Helper()
	if a.code != code {
		n.t.Errorf("exit code %d is not %d: %v", a.code, code, a)
	}
	if a.out != "" {
		n.t.Errorf("an error left data on standard output: %v", a)
	}
	for _, w := range words {
		if !strings.Contains(a.err, w) {
			n.t.Errorf("the message does not say %q: %s", w, a.err)
		}
	}
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
	n.joinBy(sponsor.invite())
}

func (n *node) joinBy(link string) {
	n.t.Helper()
	n.kithIn(link, "join", "-", "--device", n.name)
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
