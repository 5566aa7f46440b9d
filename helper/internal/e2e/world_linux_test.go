package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/ipc"
)

// world is an internet with nodes.
type world struct {
	t        testing.TB
	bed      *netnstest.Bed
	internet *netnstest.Internet
	lans     int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	bed := netnstest.New(t)
	return &world{t: t, bed: bed, internet: bed.Internet()}
}

// public adds a node with a public network of its own; kithd runs.
func (w *world) public(name string) *node {
	w.t.Helper()
	return w.member(name, w.internet.Subnet("net-"+name))
}

// founder is s, a public node that founds the network "home" and is its relay.
func (w *world) founder() *node {
	w.t.Helper()
	s := w.public("s")
	s.create("home")
	s.kith("relay", "on")
	return s
}

// member adds a node on these networks, the first the one it prefers; kithd
// runs.
func (w *world) member(name string, lans ...*netnstest.Subnet) *node {
	w.t.Helper()
	n := bareNode(w.t, w.bed, name)
	for i, l := range lans {
		l.Join(n.host, 100*(i+1))
	}
	n.start()
	return n
}

// site is a LAN behind a router.
type site struct {
	router   *netnstest.Host
	wan, lan *netnstest.Subnet
}

// kind is what a site's router does, given its uplink.
type kind func(uplink string) netnstest.Rules

// site adds a LAN behind a router on the internet. Its name is at most 6 bytes.
func (w *world) site(name string, k kind) *site {
	w.t.Helper()
	return w.siteAt(name, w.internet.Subnet("wan-"+name), k)
}

// siteAt is site with an uplink that exists.
func (w *world) siteAt(name string, uplink *netnstest.Subnet, k kind) *site {
	w.t.Helper()
	w.lans++
	s := &site{router: w.bed.Router("r" + name), wan: uplink}
	uplink.Join(s.router, 0)
	s.router.Load(k("wan-" + name))
	s.lan = s.router.Subnet("lan-"+name, fmt.Sprintf("192.168.%d.0/24", w.lans))
	return s
}

// sees is what n says of a peer, asked over IPC since that is quick; the zero
// value where there is none, or no helper.
func (n *node) sees(peer string) ipc.Peer {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := n.ipc.Status(ctx)
	if err != nil {
		return ipc.Peer{}
	}
	for _, w := range st.Networks {
		for _, p := range w.Peers {
			if p.Name == peer {
				return p
			}
		}
	}
	return ipc.Peer{}
}

// way is a path in words.
func way(p ipc.Peer) string {
	s := string(p.Path)
	if p.Via != nil {
		s += " via " + *p.Via
	}
	if p.Transport != nil {
		s += " over " + string(*p.Transport)
	}
	if p.Endpoint != nil {
		s += " at " + p.Endpoint.String()
	}
	if p.Why != nil {
		s += fmt.Sprintf(" (%v)", *p.Why)
	}
	return s
}

// between waits until both say that their path to the other is one of these
// kinds.
func (w *world) between(a, b *node, limit time.Duration, kinds ...ipc.PathKind) time.Duration {
	w.t.Helper()
	ok := func(p ipc.Peer) bool {
		for _, k := range kinds {
			if p.Path == k {
				return true
			}
		}
		return false
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		pa, pb := a.sees(b.name), b.sees(a.name)
		since := time.Since(start)
		if ok(pa) && ok(pb) {
			w.t.Logf("%s and %s after %v: %s; %s", a.name, b.name, since.Round(time.Millisecond), way(pa), way(pb))
			return since
		}
		if since > limit {
			w.t.Fatalf("%s and %s are not %v within %v: %s; %s", a.name, b.name, kinds, limit, way(pa), way(pb))
		}
	}
}

// meeting is how two nodes came together: from kith join to the first answered
// ping, and from there to the path that was wanted.
type meeting struct{ join, direct time.Duration }

// meet lets b join the network "home" by a link of sponsor's, of which a is a
// member, and waits until the two have a path of one of these kinds.
func (w *world) meet(sponsor, a, b *node, limit time.Duration, kinds ...ipc.PathKind) (m meeting) {
	w.t.Helper()
	link := sponsor.invite()
	start := time.Now()
	b.kithIn(link, "join", "-", "--device", b.name)
	joined := time.Since(start)
	b.meets(a)
	m.join = time.Since(start)
	w.t.Logf("kith join took %v, to the first answered ping %v; then %s", joined, m.join, way(b.sees(a.name)))
	m.direct = w.between(a, b, limit, kinds...)
	return m
}

// meets is reach with a short patience for a single echo.
func (n *node) meets(other *node) time.Duration {
	n.t.Helper()
	return n.reach(other.name+".home.internal", patience, "-W", "0.3")
}

// overlay is an address of n in its only network.
func (n *node) overlay() netip.Addr { n.t.Helper(); return *n.network().Self.IPv6 }
