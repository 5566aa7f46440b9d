package e2e

import (
	"net/netip"
	"testing"

	"kith.internal/ipc"
)

// TestNetnsExitApart: through an exit node nobody gets into another network of
// its own, though it opens its LAN, nor to the exit node's own services by its
// public address where the policy keeps those from them.
func TestNetnsExitApart(t *testing.T) {
	w := newExitWorld(t)
	c, e := w.c, w.e1
	f := w.exitNode("f")
	f.create("work")
	f.serveHTTP(81, "secret")
	far := "http://[" + f.overlay().String() + "]:81/"
	e.kith("--network", "home", "exit", "offer", "on", "--lan")
	w.useE1()
	e.join(f)
	e.gets(far, "secret", patience)
	c.reach(w.web[0].String(), patience)
	if got := c.fetch(far); got != "" {
		t.Errorf("a member of home gets into work: %q", got)
	}

	e.serveHTTP(82, "public")
	var urls []string
	for a, name := range w.exits {
		if name == "e1" {
			urls = append(urls, "http://"+netip.AddrPortFrom(a, 82).String()+"/")
		}
	}
	for _, url := range urls {
		c.gets(url, "public", patience)
	}
	c.policy(`{"allow": [{"from": ["c"], "to": ["internet", "e2"]}]}`)
	for _, url := range urls {
		c.loses(url)
	}
	w.leavesBy("e1", patience)
	c.kith("leave", "--yes") // who says so has the internet as ever
	w.leavesBy("c", patience)
	if c.health(ipc.HealthExitBlocked) {
		t.Error("left, and still warned of")
	}
}
