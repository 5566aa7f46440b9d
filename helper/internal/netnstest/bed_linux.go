// Package netnstest makes hosts and LANs for a test out of the kernel's network
// namespaces, veth pairs and bridges, and removes them at the test's end. It is
// imported by tests alone and imports nothing of ours. Run makes a namespace for
// a test that needs no more than one.
package netnstest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// beds tells apart the beds of one process, whose id tells apart processes.
var beds atomic.Int32

// Bed is the hosts and LANs of one test.
type Bed struct {
	t      testing.TB
	prefix string
	fabric string // the namespace that the bridges live in
	hosts  int
	lans   int
	links  int
}

// New makes an empty bed. It needs root and the commands ip, ethtool and nft;
// KITH_NETNS=0 skips the test instead.
func New(t testing.TB) *Bed {
	t.Helper()
	needsRoot(t)
	b := &Bed{t: t, prefix: fmt.Sprintf("kith%d-%d", os.Getpid(), beds.Add(1))}
	b.fabric = b.namespace("fabric")
	return b
}

// needsRoot skips the test or ends it, unless there can be namespaces.
func needsRoot(t testing.TB) {
	t.Helper()
	if os.Getenv("KITH_NETNS") == "0" {
		t.Skip("the netns tier is off: KITH_NETNS=0")
	}
	if os.Geteuid() != 0 {
		t.Fatal("the netns tier needs root: run make test as root or with KITH_NETNS=0")
	}
}

// namespace adds a namespace that lives as long as the test.
func (b *Bed) namespace(name string) string {
	b.t.Helper()
	ns := b.prefix + "-" + name
	b.run("ip", "netns", "add", ns)
	b.t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
			b.t.Errorf("remove namespace %s: %v: %s", ns, err, out)
		}
	})
	return ns
}

// run runs a command in the namespace of the test's process.
func (b *Bed) run(name string, args ...string) string {
	b.t.Helper()
	return output(b.t, exec.Command(name, args...))
}

// batch runs commands of ip in a namespace, all in one process.
func (b *Bed) batch(namespace string, lines ...string) {
	b.t.Helper()
	cmd := exec.Command("ip", "-n", namespace, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("ip in %s: %v: %s: %s", namespace, err, out, strings.Join(lines, "; "))
	}
}

func output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// LAN is a link that hosts are attached to.
type LAN struct {
	name     string
	bridge   string
	wireLike bool
}

// Option changes what a LAN is like.
type Option func(*LAN)

// WireLike makes a LAN's links pass packets as a wire would, segmented; as they
// come, veth pairs pass super-packets of 64 KiB whole.
func WireLike(l *LAN) { l.wireLike = true }

// LAN adds a link. Its name is at most 10 bytes.
func (b *Bed) LAN(name string, options ...Option) *LAN {
	b.t.Helper()
	b.lans++
	l := &LAN{name: name, bridge: fmt.Sprintf("br%d", b.lans)}
	for _, o := range options {
		o(l)
	}
	b.batch(b.fabric, "link add "+l.bridge+" type bridge mcast_snooping 0", "link set "+l.bridge+" up")
	return l
}

// SetCarrier plugs the whole LAN in or out at its far end.
func (b *Bed) SetCarrier(l *LAN, on bool) {
	b.t.Helper()
	state := "down"
	if on {
		state = "up"
	}
	ports := b.run("ip", "-n", b.fabric, "-o", "link", "show", "master", l.bridge)
	for line := range strings.Lines(ports) {
		if _, rest, ok := strings.Cut(line, ": "); ok {
			port, _, _ := strings.Cut(rest, "@")
			b.run("ip", "-n", b.fabric, "link", "set", port, state)
		}
	}
}
