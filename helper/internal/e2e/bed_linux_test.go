package e2e

import (
	"fmt"
	"testing"

	"kith.internal/helper/internal/netnstest"
)

// bed is nodes on one LAN without a router, so without internet.
type bed struct {
	*netnstest.Bed
	t     testing.TB
	lan   *netnstest.LAN
	nodes int
}

func newBed(t testing.TB) *bed {
	t.Helper()
	b := &bed{Bed: netnstest.New(t), t: t}
	b.lan = b.LAN("lan", netnstest.WireLike)
	return b
}

// bare adds a node on no LAN; kithd does not run.
func (b *bed) bare(name string) *node {
	b.t.Helper()
	return bareNode(b.t, b.Bed, name)
}

// node adds a node on the LAN, by IPv4 and by IPv6's link-local address; kithd
// does not run.
func (b *bed) node(name string) *node {
	b.t.Helper()
	n := b.bare(name)
	b.nodes++
	n.host.Attach(b.lan, prefix(fmt.Sprintf("192.168.77.%d/24", b.nodes)))
	return n
}

// start adds a node on the LAN; kithd runs.
func (b *bed) start(name string) *node {
	b.t.Helper()
	n := b.node(name)
	n.start()
	return n
}

// pair is two members of the network "home", the first of which founded it.
func (b *bed) pair() (laptop, nas *node) {
	b.t.Helper()
	laptop, nas = b.start("laptop"), b.start("nas")
	laptop.create("home")
	nas.join(laptop)
	return laptop, nas
}
