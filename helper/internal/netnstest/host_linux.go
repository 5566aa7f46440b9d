package netnstest

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host is a network namespace.
type Host struct {
	bed       *Bed
	number    int
	Namespace string          // as `ip netns` knows it
	ports     map[*LAN]string // the far ends of its links
}

// Host adds a host with nothing but a loopback. Its addresses are usable at
// once: there is no duplicate address detection.
func (b *Bed) Host(name string) *Host {
	b.t.Helper()
	b.hosts++
	h := &Host{bed: b, number: b.hosts, Namespace: b.namespace(name), ports: map[*LAN]string{}}
	h.sysctl("net/ipv6/conf/all/accept_dad", "0")
	h.sysctl("net/ipv6/conf/default/accept_dad", "0")
	b.batch(h.Namespace, "link set lo up")
	return h
}

// sysctl sets a value of the namespace; the key is a path below /proc/sys.
func (h *Host) sysctl(key, value string) {
	h.bed.t.Helper()
	var err error
	h.Do(func() { err = os.WriteFile("/proc/sys/"+key, []byte(value), 0) })
	if err != nil {
		h.bed.t.Fatalf("set %s in %s: %v", key, h.Namespace, err)
	}
}

// Attach plugs the host into l with these addresses beside its link-local one
// and returns the interface's name: that of the LAN.
func (h *Host) Attach(l *LAN, addrs ...netip.Prefix) string {
	b := h.bed
	b.t.Helper()
	b.links++
	port := fmt.Sprintf("h%d-%d", h.number, b.links)
	h.ports[l] = port
	b.batch(b.fabric,
		"link add "+port+" type veth peer name "+l.name+" netns "+h.Namespace,
		"link set "+port+" master "+l.bridge+" up")
	if l.wireLike {
		offloads := []string{"tso", "off", "gso", "off", "tx-udp-segmentation", "off", "gro", "on"}
		b.run("ip", append([]string{"netns", "exec", b.fabric, "ethtool", "-K", port}, offloads...)...)
		h.Run("ethtool", append([]string{"-K", l.name}, offloads...)...)
	}
	var lines []string
	for _, a := range addrs {
		lines = append(lines, "addr add "+a.String()+" dev "+l.name)
	}
	b.batch(h.Namespace, append(lines, "link set "+l.name+" up")...)
	h.await(l.name)
	return l.name
}

// await waits until the kernel has noticed the carrier and made the link-local
// address, unless IPv6 is off.
func (h *Host) await(name string) {
	h.bed.t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < 10*time.Second; <-tick.C {
		for _, i := range h.Interfaces() {
			if i.Name == name && i.Up() && (h.lacks6(name) || slices.ContainsFunc(i.Prefixes, isLinkLocal)) {
				return
			}
		}
	}
	h.bed.t.Fatalf("%s in %s is not up after 10 s", name, h.Namespace)
}

func isLinkLocal(p netip.Prefix) bool { return p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() }

func (h *Host) lacks6(name string) bool {
	var flag []byte
	h.Do(func() { flag, _ = os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6") })
	return string(flag) != "0\n"
}

// Detach removes the host's interface on l.
func (h *Host) Detach(l *LAN) {
	h.bed.t.Helper()
	h.bed.run("ip", "-n", h.Namespace, "link", "del", l.name)
}

// Do runs f on a thread inside the namespace. What it opens stays there; the
// goroutines that it starts do not run there. It must not end the test.
func (h *Host) Do(f func()) {
	h.bed.t.Helper()
	done := make(chan error)
	go func() { done <- h.inside(f) }()
	if err := <-done; err != nil {
		h.bed.t.Fatalf("enter namespace %s: %v", h.Namespace, err)
	}
}

// inside leaves its thread locked, to die with the goroutine, unless the thread
// is back where it was.
func (h *Host) inside(f func()) error {
	runtime.LockOSThread()
	old, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(old)
	ns, err := unix.Open("/run/netns/"+h.Namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(ns)
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return err
	}
	f()
	if err := unix.Setns(old, unix.CLONE_NEWNET); err != nil {
		return err
	}
	runtime.UnlockOSThread()
	return nil
}

// Command is a command to run in the namespace.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.Namespace, name}, args...)...)
}

// Run runs a command in the namespace to its end and returns what it says.
func (h *Host) Run(name string, args ...string) string {
	h.bed.t.Helper()
	return output(h.bed.t, h.Command(name, args...))
}

// NFT loads nftables rules.
func (h *Host) NFT(rules string) {
	h.bed.t.Helper()
	cmd := h.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	output(h.bed.t, cmd)
}

// Interface is one of a host's, with its addresses.
type Interface struct {
	net.Interface
	Prefixes []netip.Prefix
}

// Up tells whether it is up and has a carrier.
func (i Interface) Up() bool { return i.Flags&net.FlagUp != 0 && i.Flags&net.FlagRunning != 0 }

// Interfaces is the host's interfaces.
func (h *Host) Interfaces() (out []Interface) {
	h.bed.t.Helper()
	var err error
	h.Do(func() { out, err = interfaces() })
	if err != nil {
		h.bed.t.Fatal(err)
	}
	return out
}

func interfaces() (out []Interface, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		n := Interface{Interface: i}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				return nil, err
			}
			n.Prefixes = append(n.Prefixes, p)
		}
		out = append(out, n)
	}
	return out, nil
}
