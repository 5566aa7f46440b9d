package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"kith.internal/ipc"
)

// TestNetnsPolicyApproves: a policy's word is an admin's for an exit node and a
// route, as far as it goes and as long as it holds.
func TestNetnsPolicyApproves(t *testing.T) {
	w := newExitWorld(t)
	c := w.c
	e := bareNode(t, w.bed, "e3")
	for _, a := range w.internet.Subnet("net-e3").Join(e.host, 0) {
		w.exits[a] = "e3"
	}
	office := w.bed.LAN("office")
	e.host.Attach(office, prefix("10.77.0.1/24"))
	w.exits[prefix("10.77.0.1/24").Addr()] = "e3"
	printer := w.bed.Host("printer")
	printer.Attach(office, prefix("10.77.0.9/24"))
	at := prefix("10.77.0.9/24").Addr()
	serveWho(t, printer, []netip.Addr{at})
	e.start()
	e.joinBy(c.invite("--tag", "server"))
	e.kith("exit", "offer", "on")
	e.kith("route", "add", "10.77.0.0/24")
	e.kith("route", "add", "10.99.0.0/24")
	until(t, "it offers", patience, func() bool { return e.network().Exit.Pending && len(c.network().Routes) == 2 })
	c.refuse(c.try("exit", "use", "e3"), ipc.ExitNoAnswer, "exit approve e3")

	c.policy(`{"approve": {"exits": ["tag:server"], "routes": {"10.77.0.0/16": ["tag:server"]}}}`)
	e.await("consent", func(st ipc.Status) bool { return st.Networks[0].Exit.Offering && !st.Networks[0].Exit.Pending })
	until(t, "c knows", patience, func() bool { return c.peer("e3").Exit })
	c.kith("exit", "use", "e3")
	w.leavesBy("e3", patience)
	c.kith("route", "accept", "10.77.0.0/24")
	until(t, "the printer is reached", patience, func() bool { return w.who(at) == "e3" })
	c.refuse(c.try("route", "accept", "10.99.0.0/24"), ipc.ExitNoAnswer, "route approve")
	if w.e1.network().Exit.Offering {
		t.Error("who lacks the tag has consent")
	}

	c.policy("")
	w.state(ipc.ExitBlocked)
	if text := c.warning(ipc.HealthExitBlocked); !strings.Contains(text, "e3") {
		t.Errorf("the warning says %q", text)
	}
	e.await("no consent any more", func(st ipc.Status) bool { return st.Networks[0].Exit.Pending })
	for _, a := range append(w.web, at) {
		if who := w.who(a); who != "" {
			t.Errorf("without consent %v sees %q", a, who)
		}
	}
	w.tight("without consent")
	c.kith("exit", "approve", "e3")
	w.leavesBy("e3", patience)
}
