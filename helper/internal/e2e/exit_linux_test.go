package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// exitWorld is a client with a LAN beside its uplink, two exit nodes, and a web
// server and a resolver on the internet.
type exitWorld struct {
	*world
	c, e1, e2 *node
	web       []netip.Addr // IPv4 and IPv6
	names     *nameServer
	resolver  netip.Addr
	resolvers []netip.Addr // IPv4, which serves, and IPv6
	nas       *netnstest.Host
	uplink    *netnstest.Subnet
	tap       *netnstest.Tap
	exits     map[netip.Addr]string // whose addresses these are
}

func newExitWorld(t *testing.T) *exitWorld {
	t.Helper()
	w := newExitStage(t)
	c := w.c
	c.create("home")
	for _, name := range []string{"e1", "e2"} {
		n := w.exitNode(name)
		n.join(c)
		n.kith("exit", "offer", "on")
		if name == "e1" {
			w.e1 = n
		} else {
			w.e2 = n
		}
	}
	return w
}

// newExitStage is an exitWorld without exit nodes, in which the client is in no
// network.
func newExitStage(t *testing.T) *exitWorld {
	t.Helper()
	w := &exitWorld{world: newWorld(t), exits: map[netip.Addr]string{}}
	web := w.bed.Host("web")
	w.web = w.internet.Subnet("net-web").Join(web, 0)
	serveWho(t, web, w.web)
	dns := w.bed.Host("dns")
	w.resolvers = w.internet.Subnet("net-dns").Join(dns, 0)
	w.resolver = w.resolvers[0]
	w.names = serveNames(t, dns, netip.AddrPortFrom(w.resolver, 53), map[string]string{
		"web.test.": w.web[0].String(), "intra.test.": "10.88.0.2", "office.test.": "198.18.77.2",
	})

	w.uplink = w.internet.Subnet("net-c")
	w.c = bareNode(t, w.bed, "c")
	lan := w.bed.LAN("home")
	w.uplink.Join(w.c.host, 100)
	w.c.host.Attach(lan, prefix("192.168.50.1/24"))
	w.nas = w.bed.Host("nas")
	w.nas.Attach(lan, prefix("192.168.50.2/24"))
	w.tap = w.internet.Core.Tap("net-c")
	w.boot(w.c)
	for _, a := range w.uplink.Addrs(w.c.host) {
		w.exits[a] = "c"
	}
	return w
}

// boot starts a node that asks the internet's resolver.
func (w *exitWorld) boot(n *node) {
	w.t.Helper()
	must(w.t, os.WriteFile(n.resolv(), []byte("nameserver "+w.resolver.String()+"\n"), 0o644))
	n.start()
}

// exitNode adds a node with an uplink of its own, by whose addresses it is known.
func (w *exitWorld) exitNode(name string) *node {
	w.t.Helper()
	n := bareNode(w.t, w.bed, name)
	for _, a := range w.internet.Subnet("net-"+name).Join(n.host, 0) {
		w.exits[a] = name
	}
	w.boot(n)
	return n
}

// serveWho answers each request with the address that it came from.
func serveWho(t *testing.T, h *netnstest.Host, addrs []netip.Addr) {
	t.Helper()
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ap, _ := netip.ParseAddrPort(r.RemoteAddr)
		io.WriteString(w, ap.Addr().Unmap().String())
	})}
	for _, a := range addrs {
		var ln net.Listener
		var err error
		h.Do(func() { ln, err = net.Listen("tcp", netip.AddrPortFrom(a, 80).String()) })
		must(t, err)
		go srv.Serve(ln)
	}
	t.Cleanup(func() { srv.Close() })
}

// who is whose address the web server sees, by IPv4 or IPv6; "" for no answer.
func (w *exitWorld) who(at netip.Addr) string {
	var dial net.Dialer
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		w.c.host.Do(func() { c, err = dial.DialContext(ctx, network, addr) })
		return c, err
	}}
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, Timeout: 900 * time.Millisecond}
	resp, err := client.Get("http://" + netip.AddrPortFrom(at, 80).String() + "/")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	a, err := netip.ParseAddr(string(b))
	if err != nil {
		return string(b)
	}
	if name, ok := w.exits[a]; ok {
		return name
	}
	return a.String()
}

// leavesBy waits until new connections of both families leave from that device.
func (w *exitWorld) leavesBy(name string, limit time.Duration) time.Duration {
	w.t.Helper()
	took := time.Duration(0)
	for _, at := range w.web {
		took = max(took, until(w.t, at.String()+" sees "+name, limit, func() bool { return w.who(at) == name }))
	}
	return took
}

// storm sends to the web server and resolvers, again and again, as programs do
// that know nothing of an exit node.
func (w *exitWorld) storm() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	targets := []string{"udp 192.168.50.2:53"}
	for _, a := range w.resolvers {
		targets = append(targets, "udp "+netip.AddrPortFrom(a, 53).String(), "tcp "+netip.AddrPortFrom(a, 853).String())
	}
	for _, a := range w.web {
		targets = append(targets, "tcp "+netip.AddrPortFrom(a, 80).String(), "udp "+netip.AddrPortFrom(a, 443).String())
	}
	for _, target := range targets {
		wg.Go(func() {
			network, addr, _ := strings.Cut(target, " ")
			tick := time.NewTicker(25 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				d := net.Dialer{Timeout: 100 * time.Millisecond}
				var c net.Conn
				var err error
				w.c.host.Do(func() { c, err = d.DialContext(ctx, network, addr) })
				if err == nil {
					c.Write([]byte("hello"))
					c.Close()
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// clear is what the client's uplink carried in clear towards the web server or
// a resolver since the last call.
func (w *exitWorld) clear() []string {
	return w.tap.Take(func(p netnstest.Packet) bool {
		for _, a := range w.web {
			if p.Dst == a {
				return true
			}
		}
		return p.Dst == w.resolver || p.Port == 53 || p.Port == 853
	})
}

func (w *exitWorld) tight(when string) {
	w.t.Helper()
	if leaks := w.clear(); len(leaks) > 0 {
		w.t.Errorf("%s: in clear: %q", when, leaks)
	}
}

// unapproved wants an offer that no admin has approved to be refused for that; it
// takes a moment to be heard of.
func (w *exitWorld) unapproved(name string) {
	w.t.Helper()
	says := "exit approve " + name
	until(w.t, name+"'s offer is heard of", patience, func() bool { return strings.Contains(w.c.try("exit", "use", name).err, says) })
	w.c.refuse(w.c.try("exit", "use", name), ipc.ExitNoAnswer, says)
}

// useE1 has an admin approve e1, and c send internet traffic through it.
func (w *exitWorld) useE1() {
	w.t.Helper()
	w.c.kith("exit", "approve", "e1")
	until(w.t, "it offers", patience, func() bool { return w.c.peer("e1").Exit })
	w.c.kith("exit", "use", "e1")
	w.leavesBy("e1", patience)
}

func (w *exitWorld) state(want ipc.ExitState) {
	w.t.Helper()
	w.c.await("exit "+string(want), func(st ipc.Status) bool { return len(st.Networks) == 1 && st.Networks[0].Exit.State == want })
}

// TestNetnsExit: what an exit node does for a client, and that nothing leaves
// around it whatever happens.
func TestNetnsExit(t *testing.T) {
	w := newExitWorld(t)
	c := w.c
	w.leavesBy("c", patience)
	w.unapproved("e1")
	c.kith("exit", "approve", "e1")
	c.kith("exit", "approve", "e2")
	until(t, "both offer", patience, func() bool { return c.peer("e1").Exit && c.peer("e2").Exit })
	c.reach("e1.home.internal", patience)
	c.reach("e2.home.internal", patience)

	stop := w.storm()
	defer stop()
	until(t, "the storm is seen without an exit", patience, func() bool { return len(w.clear()) >= 4 })
	c.kith("exit", "use", "e1")
	w.clear() // what left before the answer
	w.leavesBy("e1", patience)
	w.tight("in use")
	w.state(ipc.ExitOn)

	w.names.forget()
	if got := c.getent("web.test"); !strings.Contains(got, w.web[0].String()) {
		t.Errorf("web.test is %q", got)
	}
	if !w.names.heard("web.test.") {
		t.Error("the exit node did not ask for it")
	}
	w.tight("resolving")
	if got := c.getent("e2.home.internal"); got == "" {
		t.Error("names of the network do not resolve any more")
	}

	pass := c.passTo(w.e1)
	within(t, "from exit use to the new address", 500*time.Millisecond, func(t *testing.T) time.Duration {
		c.kith("exit", "use", "e2")
		took := w.leavesBy("e2", patience)
		c.kith("exit", "use", "e1")
		w.leavesBy("e1", patience)
		return took
	})
	c.kith("exit", "use", "e2")
	w.leavesBy("e2", patience)
	w.tight("switching over")
	pass.settle()
	pass.smooth("the exit node changes")

	w.lanSwitch()
	w.exitDies(w.e2, "e2")
	w.helperDies("e2")
	w.uplink.Renumber(c.host)
	for _, a := range w.uplink.Addrs(c.host) {
		w.exits[a] = "c"
	}
	w.leavesBy("e2", patience)
	w.tight("roaming")

	c.kith("exit", "off")
	w.leavesBy("c", patience)
	if c.health(ipc.HealthExitBlocked) {
		t.Error("switched off, and still warned of")
	}
}

// lanSwitch: the LAN beside the client is reached with the switch alone, and its
// resolver not even then.
func (w *exitWorld) lanSwitch() {
	w.t.Helper()
	c := w.c
	if c.ping("192.168.50.2") {
		w.t.Error("the LAN is reached without the switch")
	}
	c.kith("exit", "use", "e2", "--allow-lan")
	c.reach("192.168.50.2", patience)
	w.tight("with the LAN")
	c.kith("exit", "use", "e2", "--lan", "192.168.99.0/24")
	if c.ping("192.168.50.2") {
		w.t.Error("the LAN is reached, though another was named")
	}
	lab, robot := w.bed.LAN("lab"), w.bed.Host("robot")
	c.host.Attach(lab, prefix("192.168.60.1/24"))
	robot.Attach(lab, prefix("192.168.60.2/24"))
	for lan, there := range map[string][2]string{"192.168.50.0/24": {"192.168.50.2", "192.168.60.2"}, "192.168.60.0/24": {"192.168.60.2", "192.168.50.2"}} {
		c.kith("exit", "use", "e2", "--lan", lan)
		c.reach(there[0], patience)
		if c.ping(there[1]) {
			w.t.Errorf("%s is reached with the switch for %s alone", there[1], lan)
		}
	}
	w.tight("with one LAN of two")
	c.kith("exit", "use", "e2", "--no-allow-lan")
	if c.ping("192.168.50.2") || c.ping("192.168.60.2") {
		w.t.Error("the LAN is reached after it was switched off")
	}
	c.host.Detach(lab)
}

// exitDies: all is blocked, said, and works again when the exit node is back.
func (w *exitWorld) exitDies(exit *node, name string) {
	w.t.Helper()
	exit.kill()
	w.state(ipc.ExitBlocked)
	w.c.warning(ipc.HealthExitBlocked)
	if who := w.who(w.web[0]); who != "" {
		w.t.Errorf("with the exit node dead, the web server sees %q", who)
	}
	w.tight("the exit node is dead")
	exit.start()
	w.leavesBy(name, patience)
	w.state(ipc.ExitOn)
	w.tight("the exit node is back")
}

// helperDies: the block outlives the helper, until its restart or a cleanup.
func (w *exitWorld) helperDies(exit string) {
	w.t.Helper()
	c := w.c
	c.kill()
	for range 10 {
		if who := w.who(w.web[0]); who != "" {
			w.t.Fatalf("with the helper dead, the web server sees %q", who)
		}
		w.tight("the helper is dead")
	}
	c.start()
	w.tight("the helper starts")
	w.leavesBy(exit, patience)
	w.tight("the helper is back")
	c.kill()
	if a := c.exec("", c.kithd, "cleanup", "--state-dir", c.state()); a.code != 0 {
		w.t.Errorf("cleanup: %v", a)
	}
	w.leavesBy("c", patience)
	c.start()
	w.clear()
	w.leavesBy(exit, patience)
	w.clear()
}

// TestNetnsExitStop: who stops the helper, or disconnects, has the internet back;
// connecting again uses the exit node again.
func TestNetnsExitStop(t *testing.T) {
	w := newExitWorld(t)
	c := w.c
	c.kith("exit", "approve", "e1")
	until(t, "it offers", patience, func() bool { return c.peer("e1").Exit })
	before := c.rulesOf()
	c.kith("exit", "lan", "on", "192.168.50.0/24") // said before one is used
	if x := c.network().Exit; !x.LANAllowed || len(x.LANs) != 1 || !slices.Contains(x.Local, x.LANs[0]) || x.State != ipc.ExitOff {
		t.Errorf("the switch for local networks: %+v", x)
	}
	c.kith("exit", "use", "e1")
	w.leavesBy("e1", patience)
	c.reach("192.168.50.2", patience)
	c.kith("exit", "lan", "off")
	if c.ping("192.168.50.2") {
		t.Error("the LAN is reached after it was switched off")
	}
	c.kith("down")
	w.leavesBy("c", patience)
	c.kith("up")
	w.leavesBy("e1", patience)
	c.term()
	w.leavesBy("c", patience)
	if after := c.rulesOf(); after != before {
		t.Errorf("stopped, the host is not as before:\n%s\n-- before:\n%s", after, before)
	}
	c.start()
	w.leavesBy("e1", patience)
	office := w.bed.LAN("office")
	w.e1.host.Attach(office, prefix("10.88.0.1/24"))
	printer := w.bed.Host("printer")
	printer.Attach(office, prefix("10.88.0.2/24"))
	if c.ping("10.88.0.2") {
		t.Error("the exit node's own LAN is reached through it")
	}
	w.e1.kith("exit", "offer", "on", "--lan")
	c.reach("10.88.0.2", patience)
	w.e1.kith("exit", "offer", "on")
	until(t, "the LAN is closed again", patience, func() bool { return !c.ping("10.88.0.2") })
	w.e1.kith("exit", "offer", "off")
	w.state(ipc.ExitBlocked)
	c.warning(ipc.HealthExitBlocked)
	c.kith("exit", "off")
	w.leavesBy("c", patience)
	c.refuse(c.try("exit", "use", "e1"), ipc.ExitNoAnswer, "exit offer on")
	c.refuse(c.try("exit", "use", "nobody"), ipc.ExitNotFound)
	c.refuse(c.try("exit", "use", "c"), ipc.ExitUsage)
}

// rulesOf is the host's policy rules and firewall.
func (n *node) rulesOf() string {
	var out strings.Builder
	for _, line := range []string{"ip rule", "ip -6 rule", "nft list ruleset"} {
		out.WriteString(n.exec("", strings.Fields(line)...).out)
	}
	return out.String()
}
