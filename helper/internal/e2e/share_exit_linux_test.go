package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// sharedExits is a friend, c, and an owner's exit node e1 with an office LAN, one
// with public addresses, and a desk in its network.
type sharedExits struct {
	*exitWorld
	desk    *node
	printer *netnstest.Host // in the office
	office  []netip.Addr    // on e1's LANs
}

func newSharedExits(t *testing.T) *sharedExits {
	t.Helper()
	w := &sharedExits{exitWorld: newExitStage(t)}
	w.c.create("annas")
	w.e1 = w.exitNode("e1")
	w.e1.create("home")
	w.e1.kith("exit", "offer", "on", "--lan") // to members
	w.desk = w.exitNode("desk")
	w.desk.join(w.e1)
	w.desk.serveHTTP(80, "desk")
	office := w.bed.LAN("office")
	w.printer = w.bed.Host("printer")
	w.e1.host.Attach(office, prefix("10.88.0.1/24"), prefix("198.18.77.1/24"), prefix("2001:db8:88::1/64"))
	w.printer.Attach(office, prefix("10.88.0.2/24"), prefix("198.18.77.2/24"), prefix("2001:db8:88::2/64"))
	for _, a := range []string{"10.88.0.1", "10.88.0.2", "198.18.77.1", "198.18.77.2", "2001:db8:88::1", "2001:db8:88::2"} {
		w.office = append(w.office, netip.MustParseAddr(a))
	}
	return w
}

// scanless is which of these c reaches: by an echo, and on TCP port 80.
func (w *sharedExits) scanless(addrs ...netip.Addr) (out []netip.Addr) {
	for _, a := range addrs {
		if w.c.ping(a.String()) || w.who(a) != "" {
			out = append(out, a)
		}
	}
	return out
}

// TestNetnsShareExit: a friend's exit node serves a guest as a member's does, with
// the same guard, and opens nothing of the owner's.
func TestNetnsShareExit(t *testing.T) {
	w := newSharedExits(t)
	c := w.c
	link := w.e1.share("e1", "--port", "443/tcp", "--exit")
	c.kithIn(link, "share", "accept", "-")
	w.leavesBy("c", patience)
	until(t, "the exit node is listed and there", patience, func() bool {
		rows := c.kith("exit", "list")
		return strings.Contains(rows, "e1.home") && strings.Contains(rows, "online")
	})
	stop := w.storm()
	defer stop()
	c.kith("exit", "use", "e1.home")
	w.clear() // what left before the answer
	w.leavesBy("e1", patience)
	w.tight("in use")
	if x := c.network().Exit; x.State != ipc.ExitOn || x.Using == nil || *x.Using != "e1.home" {
		t.Errorf("in use: %+v", x)
	}

	w.names.forget()
	if got := c.getent("web.test"); !strings.Contains(got, w.web[0].String()) {
		t.Errorf("web.test is %q", got)
	}
	if !w.names.heard("web.test.") {
		t.Error("the exit node did not ask for it")
	}
	w.tight("resolving")
	w.deaf()
	if got := w.scanless(append(w.office, w.desk.overlay(), *w.desk.network().Self.IPv4)...); len(got) > 0 {
		t.Errorf("the guest reaches %v", got)
	}
	if c.fetch("http://desk.home.internal/") != "" || c.ping("192.168.50.2") {
		t.Error("it reaches a member, or its own LAN without the switch")
	}
	c.kith("exit", "use", "e1.home", "--allow-lan")
	c.reach("192.168.50.2", patience)
	c.kith("exit", "use", "e1.home", "--no-allow-lan")

	w.exitDies(w.e1, "e1")
	w.e1.kith("exit", "offer", "off")
	w.state(ipc.ExitBlocked)
	w.e1.kith("exit", "offer", "on")
	w.leavesBy("e1", patience)
	w.tight("offered again")
	w.helperDies("e1")

	w.e1.kith("down")
	w.state(ipc.ExitBlocked)
	w.e1.kith("up")
	w.leavesBy("e1", patience)
	w.e1.policy(`{"allow": [{"from": ["e1"], "to": ["*"]}]}`)
	w.state(ipc.ExitBlocked)
	w.e1.policy("")
	w.leavesBy("e1", patience)
	w.e1.kith("device", "rename", "e1", "gate")
	c.await("its new name", func(st ipc.Status) bool { x := st.Networks[0].Exit.Using; return x != nil && *x == "gate.home" })
	w.tight("down and up, forbidden, renamed")

	w.e1.kith("share", "revoke", "gate", "--yes")
	w.state(ipc.ExitBlocked)
	if says := c.warning(ipc.HealthExitBlocked); !strings.Contains(says, "gate.home") {
		t.Errorf("taken back: %s", says)
	}
	for range 5 {
		if who := w.who(w.web[0]); who != "" {
			t.Errorf("taken back, and the web server sees %q", who)
		}
	}
	w.tight("taken back")
	c.kith("exit", "off")
	w.leavesBy("c", patience)
	c.refuse(c.try("exit", "use", "gate.home"), 1, "not shared")
}

// deaf wants the exit node to tell a guest none of its network's names.
func (w *sharedExits) deaf() {
	w.t.Helper()
	for _, name := range []string{"desk.home.internal.", "e1.home.internal."} {
		m := new(dns.Msg).SetQuestion(name, dns.TypeAAAA)
		var reply *dns.Msg
		var err error
		w.c.host.Do(func() { reply, err = dns.Exchange(m, netip.AddrPortFrom(w.e1.overlay(), 53).String()) })
		if err != nil || len(reply.Answer) > 0 {
			w.t.Errorf("a guest that asks for %s is told %v, %v", name, reply, err)
		}
	}
}

// TestNetnsShareExitUserspace: likewise where the kernel of the exit node may not
// forward.
func TestNetnsShareExitUserspace(t *testing.T) {
	w := newSharedExits(t)
	w.e1.term()
	w.e1.wrap = readOnlyProc
	w.boot(w.e1)
	w.e1.await("userspace", func(st ipc.Status) bool { return st.Networks[0].Exit.NAT == "userspace" })
	w.c.kithIn(w.e1.share("e1", "--port", "443/tcp", "--exit"), "share", "accept", "-")
	until(t, "the exit node is there", patience, func() bool { return strings.Contains(w.c.kith("exit", "list"), "online") })
	w.c.kith("exit", "use", "e1.home")
	w.leavesBy("e1", patience)
	if got := w.scanless(append(w.office, w.desk.overlay(), *w.desk.network().Self.IPv4)...); len(got) > 0 {
		t.Errorf("the guest reaches %v", got)
	}
}

// resolves is what a stub on the tunnel's address of another node answers n.
func (n *node) resolves(at *node, name string) (addrs []string, rcode int) {
	n.t.Helper()
	m := new(dns.Msg).SetQuestion(name, dns.TypeA)
	var reply *dns.Msg
	var err error
	n.host.Do(func() { reply, err = dns.Exchange(m, netip.AddrPortFrom(at.overlay(), 53).String()) })
	must(n.t, err)
	for _, rr := range reply.Answer {
		if a, ok := rr.(*dns.A); ok {
			addrs = append(addrs, a.A.String())
		}
	}
	return addrs, reply.Rcode
}

// TestNetnsShareExitNames: a guest of a shared exit node resolves the internet's
// names by it, and nothing that the owner's networks alone know: no member's name, no
// record, no zone of a resolver behind the mesh, and no name of the networks about.
func TestNetnsShareExitNames(t *testing.T) {
	w := newSharedExits(t)
	c := w.c
	serveNames(t, w.printer, netip.MustParseAddrPort("10.88.0.2:53"), map[string]string{"secret.corp.test.": "203.0.113.9"})
	w.e1.kith("dns", "records", "add", "printer", "10.88.0.2")
	w.e1.kith("dns", "records", "add", "wiki.test", "203.0.113.8")
	w.e1.kith("dns", "records", "add", "corp.test", "NS", "10.88.0.2")
	c.kithIn(w.e1.share("e1", "--port", "443/tcp", "--exit"), "share", "accept", "-")
	until(t, "the exit node is there", patience, func() bool { return strings.Contains(c.kith("exit", "list"), "online") })
	c.kith("exit", "use", "e1.home")
	w.leavesBy("e1", patience)
	web := w.web[0].String()
	until(t, "the guest resolves a name of the internet", patience, func() bool { got, _ := c.resolves(w.e1, "web.test."); return len(got) == 1 && got[0] == web })
	own := map[string]string{
		"desk.home.internal.": w.desk.network().Self.IPv4.String(), "printer.home.internal.": "10.88.0.2", "wiki.test.": "203.0.113.8",
		"secret.corp.test.": "203.0.113.9", "intra.test.": "10.88.0.2", "office.test.": "198.18.77.2",
	}
	for name, want := range own {
		until(t, "the owner resolves "+name, patience, func() bool { got, _ := w.e1.resolves(w.e1, name); return len(got) == 1 && got[0] == want })
		if got, rcode := c.resolves(w.e1, name); len(got) > 0 || rcode == dns.RcodeSuccess {
			t.Errorf("a guest that asks for %s is told %v, %s", name, got, dns.RcodeToString[rcode])
		}
	}
	if got := c.getent("secret.corp.test") + c.getent("wiki.test") + c.getent("intra.test"); strings.Contains(got, "203.0.113.") || strings.Contains(got, "10.88.") {
		t.Errorf("programs of the guest's resolve %s", got)
	}
}
