//go:build gui

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// webAddr is the server on the test's internet.
const webAddr = "203.0.113.9"

// hosts are some on one LAN, each a network namespace with the real kithd in
// it. A further namespace has the LAN's switch and stands for the internet.
type hosts struct {
	t    *testing.T
	bin  string
	net  string   // the further namespace
	name []string // the hosts' namespaces
	sock []string
}

// newHosts makes a host for each desktop and some that have none; a desktop's
// socket is its host's. There is no internet yet.
func newHosts(t *testing.T, beds []*bed, more int) *hosts {
	t.Helper()
	if os.Getenv("KITH_NETNS") == "0" {
		t.Skip("KITH_NETNS=0: no network namespaces")
	}
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run it as root or with KITH_NETNS=0")
	}
	h := &hosts{t: t, bin: programs(t)}
	h.net = h.namespace("net")
	h.ip("-n", h.net, "link", "add", "lan", "type", "bridge", "mcast_snooping", "0")
	h.ip("-n", h.net, "addr", "add", "192.168.79.254/24", "dev", "lan")
	h.ip("-n", h.net, "link", "set", "lan", "up")
	h.ip("-n", h.net, "addr", "add", webAddr+"/32", "dev", "lo")
	for i := range len(beds) + more {
		name := h.namespace(fmt.Sprint("h", i))
		h.name = append(h.name, name)
		sock := filepath.Join(filepath.Dir(beds[0].sock), fmt.Sprint("h", i), "kithd.sock")
		if i < len(beds) {
			sock = beds[i].sock
		}
		h.sock = append(h.sock, sock)
		if err := os.MkdirAll(filepath.Dir(sock), 0o755); err != nil {
			t.Fatal(err)
		}
		port := fmt.Sprint("port", i)
		h.ip("-n", h.net, "link", "add", port, "type", "veth", "peer", "name", "lan0", "netns", name)
		h.ip("-n", h.net, "link", "set", port, "master", "lan", "up")
		h.ip("-n", name, "addr", "add", h.addr(i)+"/24", "dev", "lan0")
		h.ip("-n", name, "link", "set", "lan0", "up")
	}
	return h
}

// namespace makes one with a resolv.conf of its own.
func (h *hosts) namespace(what string) string {
	h.t.Helper()
	name := fmt.Sprintf("kithgui%d%s", os.Getpid(), what)
	etc := filepath.Join("/etc/netns", name)
	if err := os.MkdirAll(etc, 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { os.RemoveAll(etc) })
	if err := os.WriteFile(filepath.Join(etc, "resolv.conf"), nil, 0o644); err != nil {
		h.t.Fatal(err)
	}
	h.ip("netns", "add", name)
	h.t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	h.ip("-n", name, "link", "set", "lo", "up")
	return name
}

// addr is a host's address on the LAN.
func (h *hosts) addr(host int) string { return fmt.Sprintf("192.168.79.%d", host+1) }

// programs is where kithd and kith are: KITH_BIN, else they are built.
func programs(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("KITH_BIN"); dir != "" {
		return dir
	}
	dir := t.TempDir()
	for name, path := range map[string]string{"kithd": "kith.internal/helper", "kith": "kith.internal/app/ctl"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), path)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, out)
		}
	}
	return dir
}

func (h *hosts) ip(args ...string) {
	h.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		h.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// on is a command on a host.
func (h *hosts) on(host int, name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.name[host], name}, args...)...)
}

// try runs the command line on a host.
func (h *hosts) try(host int, args ...string) (string, error) {
	out, err := h.on(host, filepath.Join(h.bin, "kith"), append([]string{"--socket", h.sock[host]}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// kith runs it where it has to succeed and gives what it says on stdout.
func (h *hosts) kith(host int, args ...string) string {
	h.t.Helper()
	out, err := h.on(host, filepath.Join(h.bin, "kith"), append([]string{"--socket", h.sock[host]}, args...)...).Output()
	if err != nil {
		var said []byte
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			said = exit.Stderr
		}
		h.t.Fatalf("host %d: kith %s: %v\n%s%s", host, strings.Join(args, " "), err, out, said)
	}
	return strings.TrimSpace(string(out))
}

// daemon is a host's kithd.
type daemon struct {
	h     *hosts
	host  int
	cmd   *exec.Cmd
	log   *logs
	ended bool
}

// start starts a host's kithd, which ends with the test at the latest. What it
// logs goes into the test's own log where that fails.
func (h *hosts) start(b *bed, host int) *daemon {
	h.t.Helper()
	d := &daemon{h: h, host: host, log: &logs{}}
	d.cmd = h.on(host, filepath.Join(h.bin, "kithd"), "run", "--socket", h.sock[host], "--state-dir", h.sock[host]+".state")
	d.cmd.Stderr = d.log
	if err := d.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(d.stop)
	b.until("kithd to answer", func() bool { _, err := h.try(host, "status"); return err == nil })
	return d
}

// stop ends it in good order.
func (d *daemon) stop() {
	if d.ended {
		return
	}
	d.ended = true
	d.cmd.Process.Signal(os.Interrupt)
	late := time.AfterFunc(10*time.Second, func() { d.cmd.Process.Kill() })
	defer late.Stop()
	if err := d.cmd.Wait(); err != nil {
		d.h.t.Errorf("kithd on host %d: %v", d.host, err)
	}
	if d.h.t.Failed() {
		d.h.t.Logf("kithd on host %d:\n%s", d.host, d.log)
	}
}

// kill ends it as a power cut does.
func (d *daemon) kill() {
	d.ended = true
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// create founds a network on a host.
func (h *hosts) create(host int, network, device string) {
	h.t.Helper()
	h.kith(host, "create", network, "--device", device, "--phrase-file", h.sock[host]+".phrase")
}

// join has a host join another's network.
func (h *hosts) join(host, at int, device string) {
	h.t.Helper()
	cmd := h.on(host, filepath.Join(h.bin, "kith"), "--socket", h.sock[host], "join", "--device", device, "-")
	cmd.Stdin = strings.NewReader(h.kith(at, "invite"))
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("host %d: kith join: %v\n%s", host, err, out)
	}
}

// internet gives all hosts a way out, where a server answers each connection
// with the address that it came from.
func (h *hosts) internet() {
	h.t.Helper()
	for _, n := range h.name {
		h.ip("-n", n, "route", "add", "default", "via", "192.168.79.254")
	}
	ln := h.listen(h.net, webAddr+":80")
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			io.WriteString(c, from+"\n")
			c.Close()
		}
	}()
}

// listen takes connections in a namespace until the test ends.
func (h *hosts) listen(netns, at string) net.Listener {
	h.t.Helper()
	type result struct {
		ln  net.Listener
		err error
	}
	got := make(chan result)
	go func() {
		// The thread stays in the namespace, so it ends with this goroutine.
		runtime.LockOSThread()
		ns, err := os.Open("/run/netns/" + netns)
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		var ln net.Listener
		if err == nil {
			ln, err = net.Listen("tcp", at)
		}
		got <- result{ln, err}
	}()
	r := <-got
	if r.err != nil {
		h.t.Fatalf("listening on %s: %v", at, r.err)
	}
	h.t.Cleanup(func() { r.ln.Close() })
	return r.ln
}

// fetch connects from a host and gives the line that comes, "" for none.
func (h *hosts) fetch(host int, at, port string) string {
	cmd := h.on(host, "timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/"+at+"/"+port+" && head -n 1 <&3")
	out, _ := cmd.Output()
	return strings.TrimSpace(string(out))
}

// pair is a desktop on laptop, which has founded home, and nas beside it.
func pair(t *testing.T, dark bool, xargs ...string) (*bed, *hosts) {
	t.Helper()
	b := newBed(t, dark, xargs...)
	b.host.appear(t)
	h := newHosts(t, []*bed{b}, 1)
	h.start(b, 0)
	h.start(b, 1)
	h.create(0, "home", "laptop")
	h.join(1, 0, "nas")
	return b, h
}
