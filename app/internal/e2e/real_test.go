//go:build gui

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// pair is two hosts on one LAN without internet, each a network namespace with
// the real kithd in it.
type pair struct {
	t    *testing.T
	bin  string
	dir  string
	name [2]string // namespaces
	sock [2]string
}

// newPair makes the hosts; the first one's socket is the given one. What a
// kithd logs goes into the test's own log where it fails.
func newPair(t *testing.T, sock string) *pair {
	t.Helper()
	if os.Getenv("KITH_NETNS") == "0" {
		t.Skip("KITH_NETNS=0: no network namespaces")
	}
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run it as root or with KITH_NETNS=0")
	}
	p := &pair{t: t, dir: filepath.Dir(sock), bin: programs(t)}
	for i, h := range []string{"a", "b"} {
		p.name[i] = fmt.Sprintf("kithgui%d%s", os.Getpid(), h)
		p.sock[i] = filepath.Join(p.dir, h, "kithd.sock")
		etc := filepath.Join("/etc/netns", p.name[i])
		for _, d := range []string{etc, filepath.Dir(p.sock[i])} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(etc, "resolv.conf"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(etc) })
		p.ip("netns", "add", p.name[i])
		t.Cleanup(func() { exec.Command("ip", "netns", "del", p.name[i]).Run() })
		p.ip("-n", p.name[i], "link", "set", "lo", "up")
	}
	p.sock[0] = sock
	p.ip("-n", p.name[0], "link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", p.name[1])
	for i, n := range p.name {
		p.ip("-n", n, "addr", "add", fmt.Sprintf("192.168.79.%d/24", i+1), "dev", "lan0")
		p.ip("-n", n, "link", "set", "lan0", "up")
	}
	return p
}

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

func (p *pair) ip(args ...string) {
	p.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		p.t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// on is a command on a host.
func (p *pair) on(host int, name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", p.name[host], name}, args...)...)
}

// kith runs the command line on a host.
func (p *pair) kith(host int, args ...string) (string, error) {
	out, err := p.on(host, filepath.Join(p.bin, "kith"), append([]string{"--socket", p.sock[host]}, args...)...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// start starts a host's kithd, which ends with the test or by stop.
func (p *pair) start(b *bed, host int) (stop func()) {
	p.t.Helper()
	log := &logs{}
	cmd := p.on(host, filepath.Join(p.bin, "kithd"), "run", "--socket", p.sock[host], "--state-dir", p.sock[host]+".state")
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cmd.Process.Signal(os.Interrupt)
		late := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			p.t.Errorf("kithd on host %d: %v", host, err)
		}
		if p.t.Failed() {
			p.t.Logf("kithd on host %d:\n%s", host, log)
		}
	}
	p.t.Cleanup(stop)
	b.until("kithd to answer", func() bool { _, err := p.kith(host, "status"); return err == nil })
	return stop
}

// TestRealHelpers has the window create a network and invite; another host
// joins by the command line, and the window shows it on the LAN.
func TestRealHelpers(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	p := newPair(t, b.sock)
	stop := p.start(b, 0)
	p.start(b, 1)
	b.launch()
	b.menuHas("○ No networks yet")
	b.see("Welcome to Kith")
	b.host.click(b, "Create…")
	b.see("Create a network")
	b.typing("home")
	b.key("Tab")
	b.typing("laptop")
	b.key("Return")
	b.see("Write these 24 words down")
	b.click("I have written them down")
	b.click("Done")
	b.menuHas("laptop.home.internal")
	b.menuHas("● Connected — no other devices yet")

	b.click("Networks")
	b.click("Invite…")
	b.see("Invite to home")
	b.click("Make a link")
	b.see("kith://join/")
	b.shot("1-invite")
	b.click("Copy")
	var link string
	b.until("the link on the clipboard", func() bool { link = b.clipboard(); return strings.HasPrefix(link, "kith://join/") })
	b.click("Close")

	join := p.on(1, filepath.Join(p.bin, "kith"), "--socket", p.sock[1], "join", "--device", "nas", "-")
	join.Stdin = strings.NewReader(link)
	if out, err := join.CombinedOutput(); err != nil {
		t.Fatalf("kith join: %v\n%s", err, out)
	}
	b.menuHas("● Connected — 2 of 2 devices")
	b.key("ctrl+f")
	b.see("nas")
	b.see("LAN")
	if out, err := p.on(1, "ping", "-c", "1", "-W", "5", "laptop.home.internal").CombinedOutput(); err != nil {
		t.Errorf("ping by name: %v\n%s", err, out)
	}
	b.typing("nas")
	b.key("Down")
	b.see("Both devices are on one local network.")
	b.shot("2-devices")
	b.key("Return")
	b.until("its name on the clipboard", func() bool { return b.clipboard() == "nas.home.internal" })

	b.host.click(b, "Disconnect")
	b.menuHas("○ Disconnected")
	b.shot("3-disconnected")
	if out, err := p.on(0, "ping", "-c", "1", "-W", "1", "nas").CombinedOutput(); err == nil {
		t.Errorf("disconnected, and yet:\n%s", out)
	}
	b.click("Connect")
	b.menuHas("● Connected — 2 of 2 devices")
	b.until("an answer by name", func() bool { return p.on(0, "ping", "-c", "1", "-W", "1", "nas").Run() == nil })

	if out, err := p.kith(1, "down"); err != nil {
		t.Fatalf("kith down: %v\n%s", err, out)
	}
	b.menuHas("● Connected — 1 of 2 devices")
	b.shot("4-peer-gone")
	stop()
	b.see("The background service isn't running.")
	p.start(b, 0)
	b.menuHas("● Connected — 1 of 2 devices")
	if out, err := p.kith(1, "up"); err != nil {
		t.Fatalf("kith up: %v\n%s", err, out)
	}
	b.menuHas("● Connected — 2 of 2 devices")
}
