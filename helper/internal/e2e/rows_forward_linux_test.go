package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// chain is nodes in a row, each on a LAN with the next, without a router; kithd
// does not run.
func chain(t *testing.T, names ...string) (w *world, nodes []*node) {
	t.Helper()
	bed := netnstest.New(t)
	w = &world{t: t, bed: bed}
	for i, name := range names {
		n := bareNode(t, bed, name)
		nodes = append(nodes, n)
		if i > 0 {
			lan := bed.LAN(fmt.Sprint("lan", i), netnstest.WireLike)
			nodes[i-1].host.Attach(lan, prefix(fmt.Sprintf("192.168.%d.1/24", i)))
			n.host.Attach(lan, prefix(fmt.Sprintf("192.168.%d.2/24", i)))
		}
	}
	return w, nodes
}

// All meet on one LAN, where they join; then each has but its neighbours.
func TestNetnsPath22TwoHops(t *testing.T) {
	w, nodes := chain(t, "a", "m", "n", "b")
	meeting := w.bed.LAN("meeting", netnstest.WireLike)
	for i, n := range nodes {
		n.host.Attach(meeting, prefix(fmt.Sprintf("10.0.0.%d/24", i+1)))
		n.start()
		if i == 0 {
			n.create("home")
		} else {
			n.join(nodes[0])
		}
	}
	a, b := nodes[0], nodes[3]
	agree(t, patience, nodes...)
	for _, n := range nodes {
		n.host.Detach(meeting)
	}
	start := time.Now()
	a.meets(b)
	t.Logf("apart: reachable after %v", time.Since(start))
	w.between(a, b, patience, ipc.PathForwarded)
	if via := a.sees("b").Via; via == nil || strings.ReplaceAll(*via, " ", "") != "m,n" {
		t.Errorf("a has %s", way(a.sees("b")))
	}
	pass := a.passTo(b)
	pass.settle()
	pass.smooth("forwarded over two hops")
	pass.tcp.whole()
}

// The founder is in the middle: it is the only one whom both ends can ask.
func TestNetnsPath18StartedWithoutInternet(t *testing.T) {
	w, nodes := chain(t, "a", "m", "b")
	a, m, b := nodes[0], nodes[1], nodes[2]
	for _, n := range nodes {
		n.start()
	}
	m.create("home")
	a.join(m)
	b.join(m)
	a.meets(b)
	w.between(a, b, patience, ipc.PathForwarded)
	for _, n := range nodes {
		n.kill()
	}
	start := time.Now()
	for _, n := range nodes {
		n.launch()
	}
	a.meets(b)
	t.Logf("all restarted: reachable after %v", time.Since(start))
	w.between(a, b, patience, ipc.PathForwarded)
	if via := a.sees("b").Via; via == nil || *via != "m" {
		t.Errorf("a has %s", way(a.sees("b")))
	}
	pass := a.passTo(b)
	pass.settle()
	pass.smooth("forwarded")
	pass.tcp.whole()
}

func internetGoes(t *testing.T) (gap time.Duration) {
	w := newWorld(t)
	s := w.founder()
	one, two := w.site("a", netnstest.HomeNAT), w.site("b", netnstest.HomeNAT)
	a, b, m := w.member("a", one.lan), w.member("b", two.lan), w.member("m", one.lan, two.lan)
	a.join(s)
	m.join(s)
	w.meet(s, a, b, patience, ipc.PathDirect)
	m.meets(a)
	m.meets(b)
	w.between(m, a, patience, ipc.PathLAN)
	w.between(m, b, patience, ipc.PathLAN)
	pass := a.passTo(b)
	one.wan.Unplug(one.router)
	two.wan.Unplug(two.router)
	s.kill()
	pass.settle()
	gap = pass.over("the internet goes")
	w.between(a, b, patience, ipc.PathForwarded)
	return gap
}

func TestNetnsPath18InternetGoes(t *testing.T) {
	within(t, "the internet goes", 5*time.Second, internetGoes)
}
