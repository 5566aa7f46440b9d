package e2e

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"kith.internal/ipc"
)

// readOnlyProc runs kithd where no kernel setting can be changed, as in a
// container.
var readOnlyProc = []string{"unshare", "--mount", "sh", "-c", `mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"`, "sh"}

// TestNetnsExitUserspace: a host that may not forward, as a container, passes on
// in the helper itself.
func TestNetnsExitUserspace(t *testing.T) {
	w := newExitWorld(t)
	w.e1.term()
	w.e1.wrap = readOnlyProc
	w.e1.start()
	c := w.c
	w.useE1()
	w.e1.await("userspace", func(st ipc.Status) bool { return st.Networks[0].Exit.NAT == "userspace" })
	if got := c.getent("web.test"); !strings.Contains(got, w.web[0].String()) {
		t.Errorf("web.test is %q", got)
	}
	c.reach(w.web[0].String(), patience)
	w.clear()
	before := w.e1.rules()
	w.e1.exec("", "sh", "-c", `for i in iptables-nft ip6tables-nft; do for d in lo net-e1; do $i -A INPUT -i $d -j ACCEPT; done; $i -P INPUT DROP; done`)
	if w.e1.rules() == before {
		t.Fatal("there is no firewall")
	}
	until(t, "names through a firewall", patience, func() bool { return c.getent("office.test") == "198.18.77.2" })
	c.reach(w.web[0].String(), patience)
	if got := w.e1.exec("", "sysctl", "-n", "net.ipv4.ip_forward").out; strings.TrimSpace(got) != "0" {
		t.Errorf("forwarding is %q", got)
	}
	c.kith("exit", "off")
	w.leavesBy("c", patience)
}

// officeWorld is a user, and two routers of a LAN that the user is not on.
type officeWorld struct {
	*exitWorld
	routers [2]*node
}

// office makes one; what is at the address tells who has sent a packet there on.
func office(t *testing.T) (w *world, x *officeWorld, at netip.Addr) {
	t.Helper()
	w = newWorld(t)
	lan := w.bed.LAN("office")
	printer := w.bed.Host("printer")
	printer.Attach(lan, prefix("10.77.0.9/24"))
	at = netip.MustParseAddr("10.77.0.9")
	serveWho(t, printer, []netip.Addr{at})
	c := w.public("c")
	c.create("home")
	x = &officeWorld{exitWorld: &exitWorld{world: w, c: c, exits: map[netip.Addr]string{}}}
	for i, name := range []string{"r1", "r2"} {
		n := bareNode(t, w.bed, name)
		w.internet.Subnet("net-"+name).Join(n.host, 0)
		own := prefix([]string{"10.77.0.1/24", "10.77.0.2/24"}[i])
		n.host.Attach(lan, own)
		x.exits[own.Addr()] = name
		must(t, os.WriteFile(n.resolv(), nil, 0o644))
		n.start()
		n.join(c)
		x.routers[i] = n
	}
	return w, x, at
}

// TestNetnsRoutes: a subnet behind two devices is reached through one that works,
// by an admin's word and the user's, and never in place of a network of one's own.
func TestNetnsRoutes(t *testing.T) {
	w, x, at := office(t)
	c, r1, r2 := x.c, x.routers[0], x.routers[1]
	for bad, word := range map[string]string{"0.0.0.0/1": "exit node", "10.77.0.1/24": "10.77.0.0/24", "224.0.0.0/8": "no other device", "100.64.0.0/10": "home"} {
		r1.refuse(r1.try("route", "add", bad), ipc.ExitUsage, word)
	}
	c.refuse(c.try("route", "accept", "10.77.0.0/24"), ipc.ExitNotFound)
	r1.kith("route", "add", "10.77.0.0/24")
	until(t, "the offer is heard", patience, func() bool { return len(c.network().Routes) == 1 })
	c.refuse(c.try("route", "accept", "10.77.0.0/24"), ipc.ExitNoAnswer, "route approve")
	c.kith("route", "approve", "10.77.0.0/24")
	c.kith("route", "accept", "10.77.0.0/24")
	until(t, "r1 leads there", patience, func() bool { return x.who(at) == "r1" })

	r2.kith("route", "add", "10.77.0.0/24")
	until(t, "the second offer is heard", patience, func() bool { return len(c.network().Routes) == 2 })
	c.kith("route", "approve", "10.77.0.0/24", "--device", "r2")
	<-time.After(200 * time.Millisecond)
	who := ""
	until(t, "somebody leads there", patience, func() bool { who = x.who(at); return who != "" })
	if who != "r1" {
		t.Errorf("a second router took over from one that works: %q", who)
	}
	c.reach("r2.home.internal", patience)
	r1.kill()
	took := until(t, "r2 takes over", patience, func() bool { return x.who(at) == "r2" })
	t.Logf("the other router took over after %v", took)

	own := w.bed.LAN("own")
	c.host.Attach(own, prefix("10.77.0.100/24"))
	c.warning(ipc.HealthRouteConflict)
	for _, r := range c.network().Routes {
		if r.Active || r.Conflict == nil {
			t.Errorf("a route in place of a network of one's own: %+v", r)
		}
	}
	c.host.Detach(own)
	until(t, "the subnet is reached again", patience, func() bool { return x.who(at) == "r2" })
	c.kith("route", "accept", "10.77.0.0/24", "--off")
	if who := x.who(at); who != "" {
		t.Errorf("not accepted any more, and reached: %q", who)
	}
}

// TestNetnsRouteWider: where the router of a subnet is gone, the subnet is reached
// by a wider route that its user has accepted, until that router is back.
func TestNetnsRouteWider(t *testing.T) {
	_, x, at := office(t)
	c, r1, r2 := x.c, x.routers[0], x.routers[1]
	for i, p := range []string{"10.77.0.0/24", "10.77.0.0/16"} {
		x.routers[i].kith("route", "add", p)
		until(t, "the offer is heard", patience, func() bool { return len(c.network().Routes) == i+1 })
		c.kith("route", "approve", p)
		c.kith("route", "accept", p)
	}
	leads := func(name string) {
		t.Helper()
		took := until(t, name+" leads there", patience, func() bool { return x.who(at) == name })
		t.Logf("%s leads there after %v", name, took)
	}
	leads("r1")
	r1.kill()
	leads("r2")
	c.term()
	c.start()
	leads("r2")
	r1.start()
	leads("r1")
	r1.term()
	leads("r2")
	r1.start()
	leads("r1")
	r2.kill()
	leads("r1")
}

// TestNetnsRouteUserspace: a router that passes on in the helper itself is
// reached by its own address in the subnet, as one is whose kernel does, and as
// the policy says.
func TestNetnsRouteUserspace(t *testing.T) {
	_, x, at := office(t)
	c, r1 := x.c, x.routers[0]
	own := netip.MustParseAddr("10.77.0.1")
	serveWho(t, r1.host, []netip.Addr{own})
	r1.term()
	r1.wrap = readOnlyProc
	r1.start()
	r1.kith("route", "add", "10.77.0.0/24")
	until(t, "the offer is heard", patience, func() bool { return len(c.network().Routes) == 1 })
	c.kith("route", "approve", "10.77.0.0/24")
	c.kith("route", "accept", "10.77.0.0/24")
	until(t, "the printer is reached", patience, func() bool { return x.who(at) == "r1" })
	until(t, "the router is reached", patience, func() bool { return x.who(own) == c.network().Self.IPv4.String() })
	c.reach(own.String(), patience)
	r1.kith("up", "--shields")
	until(t, "the shields are up", patience, func() bool { return x.who(own) == "" })
}
