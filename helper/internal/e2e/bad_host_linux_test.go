package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith.internal/ipc"
)

// noTUN hides /dev/net in the helper's own mount namespace.
var noTUN = []string{"sh", "-c", `mount -t tmpfs none /dev/net && exec "$@"`, "sh"}

func TestNetnsNoTUN(t *testing.T) {
	b := newBed(t)
	a, c := b.node("laptop"), b.node("nas")
	a.start()
	a.create("home")
	text := a.invite()
	c.wrap = noTUN
	c.start()
	c.refuse(c.try("create", "work", "--phrase-file", filepath.Join(c.dir, "phrase")), ipc.ExitFailed, "/dev/net/tun", "modprobe tun")
	if st := c.status(); len(st.Networks) > 0 {
		t.Errorf("half a network is left: %+v", st.Networks)
	}
	if _, err := os.Stat(filepath.Join(c.dir, "phrase")); err == nil {
		t.Error("the phrase's file is left")
	}
	c.refuse(c.tryIn(text, "join", "--device", "nas", "-"), ipc.ExitFailed, "/dev/net/tun", "modprobe tun")
	if st := c.status(); len(st.Networks)+len(st.Joining) > 0 {
		t.Errorf("half a network is left: %+v", st)
	}
	// The link was not used up by that.
	c.term()
	c.wrap = nil
	c.start()
	c.joinBy(text)
	c.reach("laptop.home.internal", patience)

	// A member whose TUN is gone says so, and comes up again with it.
	c.term()
	c.wrap = noTUN
	c.start()
	if words := c.warning(ipc.HealthNoTUN); !strings.Contains(words, "home") || !strings.Contains(words, "/dev/net/tun") {
		t.Errorf("the warning is not clear: %s", words)
	}
	if st := c.status(); st.State != ipc.StateError || st.Networks[0].Active {
		t.Errorf("state %q, active %v", st.State, st.Networks[0].Active)
	}
	c.refuse(c.try("up"), ipc.ExitFailed, "/dev/net/tun")
	c.term()
	c.wrap = nil
	c.start()
	c.reach("laptop.home.internal", patience)
}

func TestNetnsIPv6SwitchedOff(t *testing.T) {
	b := newBed(t)
	a, c := b.node("laptop"), b.node("nas")
	c.host.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
	a.start()
	c.start()
	a.create("home")
	c.joinBy(a.invite())
	only4(t, a, c)

	// The other way round: on, and switched off while it runs.
	c.host.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.default.disable_ipv6=0")
	both(t, a, c)
	c.host.Run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
	only4(t, a, c)
	c.term()
	c.start()
	only4(t, a, c)
}

// only4 wants c to run on IPv4 alone, to say so, and all names to work.
func only4(t *testing.T, a, c *node) {
	t.Helper()
	if words := c.warning(ipc.HealthNoIPv6); !strings.Contains(words, "IPv4 alone") {
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
	c.reach("laptop.home.internal", patience)
	a.reach("nas.home.internal", patience)
	c.kith("ping", "laptop", "-c", "1")
	a.kith("ping", "nas", "-c", "1")
	if x := a.exec("", "dig", "+short", "@"+a.status().Networks[0].Self.DNS.Addr().String(), "AAAA", "nas.home.internal"); x.out != "" {
		t.Errorf("an address that does not work is answered: %v", x)
	}
}

// both wants both families again.
func both(t *testing.T, a, c *node) {
	t.Helper()
	c.await("IPv6", func(st ipc.Status) bool { return st.Networks[0].Self.IPv6 != nil && fine(st) })
	a.await("the peer's IPv6", func(st ipc.Status) bool {
		return len(st.Networks[0].Peers) == 1 && st.Networks[0].Peers[0].IPv6 != nil
	})
	c.reach("laptop.home.internal", patience)
	if x := a.exec("", "ping", "-6", "-c", "1", "-W", "8", "nas.home.internal"); x.code != 0 {
		t.Errorf("IPv6 does not pass again: %v", x)
	}
}

func TestNetnsPortTaken(t *testing.T) {
	b := newBed(t)
	a, c := b.node("laptop"), b.node("nas")
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
	a.create("home")
	if words := a.warning(ipc.HealthPortTaken); !strings.Contains(words, "41641") {
		t.Errorf("the warning is not clear: %s", words)
	}
	c.joinBy(a.invite())
	c.reach("laptop.home.internal", patience)
	free()
	a.term()
	a.start("--port", "41641")
	if p := a.status().Networks[0].Self.Port; p != 41641 {
		t.Errorf("the port asked for is free again and %d is used", p)
	}
	c.reach("laptop.home.internal", patience)

	// The one it had, on its next start.
	a.term()
	free = hold(a, 41641)
	a.start()
	if words := a.warning(ipc.HealthPortTaken); !strings.Contains(words, "41641") {
		t.Errorf("the warning is not clear: %s", words)
	}
	c.reach("laptop.home.internal", patience)
	a.term()
	free()
	a.start()
	if p := a.status().Networks[0].Self.Port; p != 41641 {
		t.Errorf("its port is free again and %d is used", p)
	}
	a.reach("nas.home.internal", patience)
}

func TestNetnsSecondHelper(t *testing.T) {
	b := newBed(t)
	a, c := b.pair()
	for _, socket := range []string{a.socket(), filepath.Join(a.dir, "other", "s")} {
		x := a.exec("", "timeout", "20", program(b.t, "kithd"), "run", "--state-dir", a.state(), "--socket", socket)
		if x.code != 1 || !strings.Contains(x.err, "another kithd uses this state directory") {
			t.Errorf("socket %s: %v", socket, x)
		}
	}
	x := a.exec("", "timeout", "20", program(b.t, "kithd"), "run", "--state-dir", filepath.Join(a.dir, "state2"), "--socket", a.socket())
	if x.code != 1 || !strings.Contains(x.err, a.socket()) {
		t.Errorf("one socket for two: %v", x)
	}
	if x := a.exec("", program(b.t, "kithd"), "cleanup", "--state-dir", a.state()); x.code != 1 || !strings.Contains(x.err, "another kithd") {
		t.Errorf("cleanup beside a running helper: %v", x)
	}
	a.kith("status")
	c.reach("laptop.home.internal", patience)
}
