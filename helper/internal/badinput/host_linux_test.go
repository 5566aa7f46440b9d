package badinput

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kith.internal/ipc"
)

// noTUN hides /dev/net in the helper's own mount namespace.
var noTUN = []string{"sh", "-c", `mount -t tmpfs none /dev/net && exec "$@"`, "sh"}

func TestNetnsNoTUN(t *testing.T) {
	b := newBed(t)
	a, c := b.node("a"), b.node("b")
	a.start()
	a.create("home", "laptop")
	text := a.invite()
	c.wrap = noTUN
	c.start()
	c.refuse(c.kith("create", "work", "--phrase-file", filepath.Join(c.dir, "phrase")), ipc.ExitFailed, "/dev/net/tun", "modprobe tun")
	if st := c.status(); len(st.Networks) > 0 {
		t.Errorf("half a network is left: %+v", st.Networks)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "phrase")); err == nil {
		t.Error("the phrase's file is left")
	}
	c.refuse(c.kithIn(text, "join", "--device", "nas", "-"), ipc.ExitFailed, "/dev/net/tun", "modprobe tun")
	if st := c.status(); len(st.Networks)+len(st.Joining) > 0 {
		t.Errorf("half a network is left: %+v", st)
	}
	// The link was not used up by that.
	c.stop()
	c.wrap = nil
	c.start()
	c.join(text, "nas")
	c.ping("laptop.home.internal")

	// A member whose TUN is gone says so, and comes up again with it.
	c.stop()
	c.wrap = noTUN
	c.start()
	if words := c.health(ipc.HealthNoTUN); !strings.Contains(words, "home") || !strings.Contains(words, "/dev/net/tun") {
		t.Errorf("the warning is not clear: %s", words)
	}
	if st := c.status(); st.State != ipc.StateError || st.Networks[0].Active {
		t.Errorf("state %q, active %v", st.State, st.Networks[0].Active)
	}
	c.refuse(c.kith("up"), ipc.ExitFailed, "/dev/net/tun")
	c.stop()
	c.wrap = nil
	c.start()
	c.ping("laptop.home.internal")
}

func TestNetnsIPv6SwitchedOff(t *testing.T) {
	b := newBed(t)
	a, c := b.node("a"), b.node("b")
	c.host.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
	a.start()
	c.start()
	a.create("home", "laptop")
	c.join(a.invite(), "nas")
	only4(t, a, c)

	// The other way round: on, and switched off while it runs.
	c.host.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0")
	both(t, a, c)
	c.host.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
	only4(t, a, c)
	c.stop()
	c.start()
	only4(t, a, c)
}

// only4 wants c to run on IPv4 alone, to say so, and all names to work.
func only4(t *testing.T, a, c *node) {
	t.Helper()
	if words := c.health(ipc.HealthNoIPv6); !strings.Contains(words, "IPv4 alone") {
		t.Errorf("the warning is not clear: %s", words)
	}
	self := c.status().Networks[0].Self
	if self.IPv6 != nil || self.IPv4 == nil || self.DNS == nil || !self.DNS.Addr().Is4() {
		t.Errorf("this device: %+v", self)
	}
	a.await("the peer without IPv6", func(st ipc.Status) bool {
		p := st.Networks[0].Peers
		return len(p) == 1 && p[0].IPv6 == nil && p[0].IPv4 != nil && p[0].Online
	})
	c.ping("laptop.home.internal")
	a.ping("nas.home.internal")
	c.must("ping", "laptop", "-c", "1")
	a.must("ping", "nas", "-c", "1")
	if x := a.exec("", "dig", "+short", "@"+a.status().Networks[0].Self.DNS.Addr().String(), "AAAA", "nas.home.internal"); x.out != "" {
		t.Errorf("an address that does not work is answered: %v", x)
	}
}

// both wants both families again.
func both(t *testing.T, a, c *node) {
	t.Helper()
	c.await("IPv6", func(st ipc.Status) bool { return st.Networks[0].Self.IPv6 != nil && len(st.Health) == 0 })
	a.await("the peer's IPv6", func(st ipc.Status) bool {
		return len(st.Networks[0].Peers) == 1 && st.Networks[0].Peers[0].IPv6 != nil
	})
	c.ping("laptop.home.internal")
	if x := a.exec("", "ping", "-6", "-c", "1", "-W", "8", "nas.home.internal"); x.code != 0 {
		t.Errorf("IPv6 does not pass again: %v", x)
	}
}

func TestNetnsPortTaken(t *testing.T) {
	b := newBed(t)
	a, c := b.node("a"), b.node("b")
	hold := func(n *node, port uint16) func() {
		t.Helper()
		var conns []net.PacketConn
		n.host.Do(func() {
			for _, nw := range []string{"udp4", "udp6"} {
				if p, err := net.ListenPacket(nw, fmt.Sprintf(":%d", port)); err == nil {
					conns = append(conns, p)
				}
			}
		})
		if len(conns) != 2 {
			t.Fatalf("port %d is not free", port)
		}
		return func() {
			for _, c := range conns {
				c.Close()
			}
		}
	}
	free := hold(a, 41641)
	a.start("--port", "41641")
	c.start()
	a.create("home", "laptop")
	if words := a.health(ipc.HealthPortTaken); !strings.Contains(words, "41641") {
		t.Errorf("the warning is not clear: %s", words)
	}
	c.join(a.invite(), "nas")
	c.ping("laptop.home.internal")
	free()
	a.stop()
	a.start("--port", "41641")
	if p := a.status().Networks[0].Self.Port; p != 41641 {
		t.Errorf("the port asked for is free again and %d is used", p)
	}
	c.ping("laptop.home.internal")

	// The one it had, on its next start.
	a.stop()
	free = hold(a, 41641)
	a.start()
	if words := a.health(ipc.HealthPortTaken); !strings.Contains(words, "41641") {
		t.Errorf("the warning is not clear: %s", words)
	}
	c.ping("laptop.home.internal")
	a.stop()
	free()
	a.start()
	if p := a.status().Networks[0].Self.Port; p != 41641 {
		t.Errorf("its port is free again and %d is used", p)
	}
	a.ping("nas.home.internal")
}

func TestNetnsSecondHelper(t *testing.T) {
	b := newBed(t)
	a, c := b.pair()
	for _, socket := range []string{a.socket(), filepath.Join(a.dir, "other", "s")} {
		x := a.exec("", "timeout", "20", filepath.Join(bin, "kithd"), "run", "--state-dir", a.state(), "--socket", socket)
		if x.code != 1 || !strings.Contains(x.err, "another kithd uses this state directory") {
			t.Errorf("socket %s: %v", socket, x)
		}
	}
	x := a.exec("", "timeout", "20", filepath.Join(bin, "kithd"), "run", "--state-dir", filepath.Join(a.dir, "state2"), "--socket", a.socket())
	if x.code != 1 || !strings.Contains(x.err, a.socket()) {
		t.Errorf("one socket for two: %v", x)
	}
	if x := a.exec("", filepath.Join(bin, "kithd"), "cleanup", "--state-dir", a.state()); x.code != 1 || !strings.Contains(x.err, "another kithd") {
		t.Errorf("cleanup beside a running helper: %v", x)
	}
	a.must("status")
	c.ping("laptop.home.internal")
}

// own is the interfaces of ours on a host.
func (n *node) own() (names []string) {
	for _, i := range n.host.Interfaces() {
		if strings.HasPrefix(i.Name, "kith") {
			names = append(names, i.Name)
		}
	}
	return names
}

func (n *node) resolvConf() string {
	n.t.Helper()
	b, err := os.ReadFile(n.resolv())
	if err != nil {
		n.t.Fatal(err)
	}
	return string(b)
}

// clean wants no trace of ours on the host.
func (n *node) clean(resolv string) {
	n.t.Helper()
	if got := n.resolvConf(); got != resolv {
		n.t.Errorf("resolv.conf is %q, was %q", got, resolv)
	}
	if own := n.own(); len(own) > 0 {
		n.t.Errorf("interfaces are left: %v", own)
	}
	for _, cmd := range [][]string{{"ip", "route", "show", "table", "all"}, {"ip", "-6", "route", "show", "table", "all"}, {"ip", "rule"}, {"nft", "list", "ruleset"}} {
		if x := n.exec("", cmd...); strings.Contains(x.out, "kith") || strings.Contains(x.out, "100.") {
			n.t.Errorf("%v: %s", cmd, x.out)
		}
	}
}

func TestNetnsStopRestoresAll(t *testing.T) {
	b := newBed(t)
	const mine = "# written by hand\nsearch lan\nnameserver 192.168.77.9\noptions timeout:1\n"
	a, c := b.node("a"), b.node("b")
	if err := os.WriteFile(a.resolv(), []byte(mine), 0o644); err != nil {
		t.Fatal(err)
	}
	a.start()
	c.start()
	a.create("home", "laptop")
	c.join(a.invite(), "nas")
	a.ping("nas")
	if a.resolvConf() == mine || len(a.own()) != 1 {
		t.Fatalf("nothing to restore: %q, %v", a.resolvConf(), a.own())
	}
	a.stop()
	a.clean(mine)
	if _, err := os.Stat(a.socket()); err == nil {
		t.Error("the socket is left")
	}
	a.start()
	a.ping("nas")

	// Nobody restores anything at a kill: cleanup does.
	a.end(syscall.SIGKILL)
	if a.resolvConf() == mine {
		t.Error("the test proves nothing: resolv.conf was restored by a killed program")
	}
	if x := a.exec("", filepath.Join(bin, "kithd"), "cleanup", "--state-dir", a.state()); x.code != 0 {
		t.Errorf("cleanup: %v", x)
	}
	a.clean(mine)
	if x := a.exec("", filepath.Join(bin, "kithd"), "cleanup", "--state-dir", a.state()); x.code != 0 || x.out+x.err != "" {
		t.Errorf("cleanup with nothing to do: %v", x)
	}
	a.start()
	a.ping("nas")
	// The next start cleans up as well.
	a.end(syscall.SIGKILL)
	a.start()
	a.ping("nas")
	a.stop()
	a.clean(mine)
	// With down there is nothing on the host while it runs.
	a.start()
	a.must("down")
	a.clean(mine)
	a.must("up")
	a.ping("nas")
	// kithd started by Ctrl-C's signal ends the same way.
	if code := a.end(syscall.SIGINT); code != 0 {
		t.Errorf("interrupted: exit %d", code)
	}
	a.clean(mine)
}

func TestNetnsFirewall(t *testing.T) {
	// What ufw does by default: nothing comes in that was not asked for, but
	// what IPv6 itself needs.
	const rules = `table inet fw {
		chain input {
			type filter hook input priority filter; policy drop;
			iif lo accept
			ct state established,related accept
			ct state invalid drop
			icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert } accept
			icmp type echo-request accept
			icmpv6 type echo-request accept
		}
	}`
	t.Run("rules", func(t *testing.T) {
		b := newBed(t)
		a, c := b.node("a"), b.node("b")
		a.host.NFT(rules)
		c.host.NFT(rules)
		behind(t, a, c)
	})
	if _, err := exec.LookPath("ufw"); err == nil {
		t.Run("ufw", func(t *testing.T) {
			b := newBed(t)
			a, c := b.node("a"), b.node("b")
			a.ufw()
			c.ufw()
			behind(t, a, c)
		})
	}
}

func behind(t *testing.T, a, c *node) {
	t.Helper()
	a.start()
	c.start()
	a.create("home", "laptop")
	c.join(a.invite(), "nas")
	c.ping("laptop.home.internal")
	a.ping("nas.home.internal")
	for range 2 {
		a.end(syscall.SIGKILL)
		c.end(syscall.SIGKILL)
		a.start()
		c.start()
		c.ping("laptop.home.internal")
		a.ping("nas.home.internal")
	}
	a.stop()
	c.must("status")
	a.start()
	c.ping("laptop.home.internal")
	if p := c.status().Networks[0].Peers[0]; p.Path != ipc.PathLAN {
		t.Errorf("the path is %q", p.Path)
	}
}

func TestNetnsFirewallDropsAll(t *testing.T) {
	// Without even echo requests from the overlay: only answers come in.
	const rules = `table inet fw {
		chain input {
			type filter hook input priority filter; policy drop;
			iif lo accept
			iifname "kith*" accept
			ct state established,related accept
			icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		}
	}`
	b := newBed(t)
	a, c := b.node("a"), b.node("b")
	a.host.NFT(rules)
	c.host.NFT(rules)
	behind(t, a, c)
}

// The same on a segment that has IPv6 link-local addresses alone.
func TestNetnsFirewallLinkLocal(t *testing.T) {
	const rules = `table inet fw {
		chain input {
			type filter hook input priority filter; policy drop;
			iif lo accept
			iifname "kith*" accept
			ct state established,related accept
			icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
		}
	}`
	b := newBed(t)
	a, c := b.bare("a"), b.bare("b")
	for _, n := range []*node{a, c} {
		n.host.Attach(b.lan, []netip.Prefix{}...)
		n.host.NFT(rules)
	}
	behind(t, a, c)
}

// ufw turns it on in the namespace, on a copy of its settings.
func (n *node) ufw() {
	n.t.Helper()
	dir := filepath.Join(n.dir, "ufw")
	const script = `set -e
		mkdir -p "$1/etc" "$1/lib"
		cp -a /etc/ufw/. "$1/etc"; cp -a /lib/ufw/. "$1/lib"
		mount --bind "$1/etc" /etc/ufw; mount --bind "$1/lib" /lib/ufw
		ufw --force enable; ufw status verbose`
	x := n.exec("", "sh", "-c", script, "sh", dir)
	if x.code != 0 || !strings.Contains(x.out, "Status: active") || !strings.Contains(x.out, "deny (incoming)") {
		n.t.Fatalf("ufw: %v", x)
	}
}

// This machine may have no service manager: it is said, and nothing is done.
func TestNetnsServiceManager(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd runs here: this test would change the machine")
	}
	b := newBed(t)
	a := b.node("a")
	for _, tc := range []struct {
		args  []string
		code  int
		words []string
	}{
		{[]string{"status"}, 0, []string{"not installed"}},
		{[]string{"start"}, 1, []string{"kithd run", "service manager"}},
		{[]string{"stop"}, 1, []string{"service manager"}},
		{[]string{"install"}, 1, []string{"kithd run", "service manager"}},
		{[]string{"uninstall", "--state-dir", a.state()}, 0, []string{"not installed"}},
		{[]string{"run", "--dns", "perhaps"}, 2, []string{"--dns"}},
		{[]string{"run", "--operator", "no such user", "--state-dir", filepath.Join(a.dir, "other"), "--socket", a.socket()}, 6, []string{"--operator", "no such user"}},
		{[]string{"run", "--port", "70000"}, 2, []string{"--port"}},
		{[]string{"version"}, 0, []string{"kithd"}},
	} {
		x := a.exec("", append([]string{"timeout", "20", filepath.Join(bin, "kithd")}, tc.args...)...)
		if x.code != tc.code {
			t.Errorf("kithd %v: %v", tc.args, x)
		}
		for _, w := range tc.words {
			if !strings.Contains(x.out+x.err, w) {
				t.Errorf("kithd %v does not say %q: %v", tc.args, w, x)
			}
		}
	}
	for _, path := range []string{a.state(), "/etc/init.d/kithd", "/etc/systemd/system/kithd.service"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s was made", path)
		}
	}
	a.start()
	a.create("home", "laptop")
}
