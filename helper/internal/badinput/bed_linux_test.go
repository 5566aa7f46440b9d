package badinput

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// bin holds kithd and kith.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if bin = os.Getenv("KITH_BIN"); bin != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "kithbin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // another user runs kith too
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for name, pkg := range map[string]string{"kithd": "kith.internal/helper", "kith": "kith.internal/app/ctl"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", name, err, out)
			return 1
		}
	}
	bin = dir
	return m.Run()
}

// node is one host with a helper.
type node struct {
	t    *testing.T
	host *netnstest.Host
	name string
	dir  string   // holds state, socket and phrase
	wrap []string // what runs kithd; "" is the namespace alone
	proc *exec.Cmd
	log  *journal
	done chan error
}

// bed is one LAN with hosts on it.
type bed struct {
	*netnstest.Bed
	t   *testing.T
	lan *netnstest.LAN
	n   int
}

func newBed(t *testing.T) *bed {
	b := &bed{Bed: netnstest.New(t), t: t}
	b.lan = b.LAN("lan0")
	return b
}

// node adds a host that is on the LAN by IPv4 and link-local IPv6.
func (b *bed) node(name string) *node {
	b.t.Helper()
	n := b.bare(name)
	b.n++
	n.host.Attach(b.lan, netip.MustParsePrefix(fmt.Sprintf("192.168.77.%d/24", b.n)))
	return n
}

// bare adds a host on no LAN.
func (b *bed) bare(name string) *node {
	b.t.Helper()
	// Short, since a socket's path is at most 108 bytes.
	dir, err := os.MkdirTemp("/tmp", "kb")
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { os.RemoveAll(dir) })
	n := &node{t: b.t, name: name, dir: dir}
	// Files that `ip netns exec` puts in place of the machine's own.
	n.host = b.Host(name)
	etc := "/etc/netns/" + n.host.Namespace
	if err := errors.Join(os.Chmod(dir, 0o755), os.MkdirAll(etc, 0o755),
		os.WriteFile(n.resolv(), []byte("# mine\n"), 0o644)); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { os.RemoveAll(etc) })
	b.t.Cleanup(func() { n.kill() })
	return n
}

func (n *node) resolv() string { return "/etc/netns/" + n.host.Namespace + "/resolv.conf" }
func (n *node) state() string  { return filepath.Join(n.dir, "state") }
func (n *node) socket() string { return filepath.Join(n.dir, "run", "s") }

// journal keeps what a helper says and wakes whoever waits for a word of it.
type journal struct {
	mu   sync.Mutex
	cond *sync.Cond
	b    bytes.Buffer
	over bool
}

func newJournal() *journal {
	j := &journal{}
	j.cond = sync.NewCond(&j.mu)
	return j
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.cond.Broadcast()
	return j.b.Write(b)
}

func (j *journal) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.over = true
	j.cond.Broadcast()
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// await is false when the program ended, or a long time passed, without the
// word.
func (j *journal) await(word string) bool {
	late := time.AfterFunc(20*time.Second, j.end)
	defer late.Stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for !strings.Contains(j.b.String(), word) {
		if j.over {
			return false
		}
		j.cond.Wait()
	}
	return true
}

// start starts the helper and waits until it answers.
func (n *node) start(args ...string) {
	n.t.Helper()
	if !n.launch(args...) {
		n.t.Fatalf("kithd on %s is not ready: %s", n.name, n.log)
	}
}

// launch is false when the helper ended instead of becoming ready.
func (n *node) launch(args ...string) bool {
	n.t.Helper()
	line := append([]string{}, n.wrap...)
	line = append(line, filepath.Join(bin, "kithd"), "run", "--debug", "--state-dir", n.state(), "--socket", n.socket())
	line = append(line, args...)
	n.proc = n.host.Command(line[0], line[1:]...)
	n.log, n.done = newJournal(), make(chan error, 1)
	n.proc.Stderr = n.log
	if err := n.proc.Start(); err != nil {
		n.t.Fatal(err)
	}
	log, done, proc := n.log, n.done, n.proc
	go func() {
		err := proc.Wait()
		log.end()
		done <- err
	}()
	return log.await("msg=ready")
}

// end signals the helper and gives its exit code, -1 for a kill.
func (n *node) end(sig syscall.Signal) int {
	n.t.Helper()
	n.proc.Process.Signal(sig)
	return n.exited()
}

// exited waits for the helper's end.
func (n *node) exited() int {
	n.t.Helper()
	defer func() { n.proc = nil }()
	select {
	case <-n.done:
		return n.proc.ProcessState.ExitCode()
	case <-time.After(20 * time.Second):
		n.proc.Process.Kill()
		n.t.Fatalf("kithd on %s did not end: %s", n.name, n.log)
	}
	return 0
}

// stop ends the helper as a service manager does.
func (n *node) stop() {
	n.t.Helper()
	if code := n.end(syscall.SIGTERM); code != 0 {
		n.t.Errorf("kithd on %s ended with %d: %s", n.name, code, n.log)
	}
}

func (n *node) kill() {
	if n.proc != nil {
		n.end(syscall.SIGKILL)
	}
	if n.t.Failed() && n.log != nil {
		n.t.Logf("kithd on %s said:\n%s", n.name, tail(n.log.String(), 6000))
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// answer is what a program said.
type answer struct {
	code     int
	out, err string
}

func (a answer) String() string {
	return fmt.Sprintf("exit %d\nout: %s\nerr: %s", a.code, a.out, a.err)
}

// exec runs a program on the host to its end.
func (n *node) exec(stdin string, line ...string) answer {
	n.t.Helper()
	cmd := n.host.Command(line[0], line[1:]...)
	var out, msg bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &msg
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		n.t.Fatalf("%v: %v", line, err)
	}
	return answer{cmd.ProcessState.ExitCode(), out.String(), msg.String()}
}

func (n *node) kith(args ...string) answer { n.t.Helper(); return n.kithIn("", args...) }

func (n *node) kithIn(stdin string, args ...string) answer {
	n.t.Helper()
	return n.exec(stdin, append([]string{filepath.Join(bin, "kith"), "--socket", n.socket()}, args...)...)
}

// must wants exit code 0.
func (n *node) must(args ...string) string {
	n.t.Helper()
	a := n.kith(args...)
	if a.code != 0 {
		n.t.Fatalf("kith %v on %s: %v", args, n.name, a)
	}
	return a.out
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

func (n *node) create(name, device string) {
	n.t.Helper()
	n.must("create", name, "--device", device, "--phrase-file", filepath.Join(n.dir, "phrase-"+name))
}

func (n *node) invite(args ...string) string {
	n.t.Helper()
	return strings.TrimSpace(n.must(append([]string{"invite"}, args...)...))
}

func (n *node) join(link, device string) {
	n.t.Helper()
	if a := n.kithIn(link, "join", "--device", device, "-"); a.code != 0 {
		n.t.Fatalf("%s does not join: %v", n.name, a)
	}
}

// ping wants an answer by name.
func (n *node) ping(name string) {
	n.t.Helper()
	if a := n.exec("", "ping", "-c", "1", "-W", "8", name); a.code != 0 {
		n.t.Fatalf("%s does not reach %s: %v\n%s", n.name, name, a, n.kith("status", "--json").out)
	}
}

func (n *node) status() ipc.Status {
	n.t.Helper()
	var st ipc.Status
	if err := json.Unmarshal([]byte(n.must("status", "--json")), &st); err != nil {
		n.t.Fatal(err)
	}
	return st
}

// await wants a condition to come true within ten seconds, or what is asked.
func (n *node) await(what string, ok func(ipc.Status) bool) {
	n.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < 15*time.Second; <-tick.C {
		if ok(n.status()) {
			return
		}
	}
	n.t.Fatalf("on %s never came: %s\n%s", n.name, what, n.must("status", "--json"))
}

// health waits for a warning and gives its text.
func (n *node) health(code string) (text string) {
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

// pair is two members of one network, "home": a founded it.
func (b *bed) pair() (a, c *node) {
	b.t.Helper()
	a, c = b.node("a"), b.node("b")
	a.start()
	c.start()
	a.create("home", "laptop")
	c.join(a.invite(), "nas")
	return a, c
}
