package e2e

import (
	"strings"
	"testing"

	"kith.internal/ipc"
)

// holds waits until a policy that c sets is in force on n, too.
func (w *exitWorld) holds(policy string, n *node) {
	w.t.Helper()
	w.c.policy(policy)
	until(w.t, "the policy is on "+n.name, patience, func() bool { return read[ipc.PolicyAnswer](n, "policy", "show").Text == policy })
}

// TestNetnsExitSpoofs: an exit node in use has no rights by the addresses that it
// can take, but for those of a subnet that it leads to by the user's word.
func TestNetnsExitSpoofs(t *testing.T) {
	w := newExitWorld(t)
	c, e1 := w.c, w.e1
	w.useE1()
	c.serveHTTP(8080, "hello")
	e1.exec("", "ip", "addr", "add", "192.168.7.5/32", "dev", "lo")
	w.holds(`{"allow": [{"from": ["c"], "to": ["e1", "internet"]}, {"from": ["192.168.7.0/24"], "to": ["c"], "ports": ["8080/tcp"]}]}`, e1)
	from := func(source string) string {
		t.Helper()
		url := "http://" + c.network().Self.IPv4.String() + ":8080/"
		return strings.TrimSpace(e1.exec("", "curl", "-s", "--max-time", "2", "--interface", source, url).out)
	}
	for _, source := range []string{e1.network().Self.IPv4.String(), "192.168.7.5"} {
		if got := from(source); got != "" {
			t.Errorf("e1 as %s is told %q", source, got)
		}
	}
	e1.kith("route", "add", "192.168.7.0/24")
	until(t, "the offer is heard", patience, func() bool { return len(c.network().Routes) == 1 })
	c.kith("route", "approve", "192.168.7.0/24")
	if got := from("192.168.7.5"); got != "" {
		t.Errorf("e1 from a subnet that is not accepted is told %q", got)
	}
	c.kith("route", "accept", "192.168.7.0/24")
	until(t, "the subnet is spoken for", patience, func() bool { return from("192.168.7.5") == "hello" })
	if got := from(e1.network().Self.IPv4.String()); got != "" {
		t.Errorf("e1 as itself is told %q", got)
	}
}
