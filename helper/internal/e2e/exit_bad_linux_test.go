package e2e

import (
	"slices"
	"testing"
	"time"

	"kith.internal/ipc"
)

// TestNetnsExitBad: an exit node that lies about consent, refuses, or goes while it
// is switched to, costs the client its internet and no more; another program that
// switches forwarding off is undone, and named where it insists.
func TestNetnsExitBad(t *testing.T) {
	w := newExitWorld(t)
	c := w.c
	for _, args := range [][]string{{"add"}, {"approve"}, {"accept"}} {
		c.refuse(c.try("route", args[0], "0.0.0.0/1"), ipc.ExitUsage, "exit node")
		c.refuse(c.try("route", args[0], "::/0"), ipc.ExitUsage, "exit node")
	}
	// e2's word alone is not enough, whatever it passes on.
	w.e2.host.NFT(`table ip own {
		chain post {
			type nat hook postrouting priority srcnat
			masquerade
		}
	}`)
	w.e2.exec("", "sysctl", "-qw", "net.ipv4.ip_forward=1")
	w.unapproved("e2")
	w.leavesBy("c", patience)

	c.kith("exit", "approve", "e1")
	c.kith("exit", "approve", "e2")
	until(t, "both offer", patience, func() bool { return c.peer("e1").Exit && c.peer("e2").Exit })
	c.kith("exit", "use", "e1")
	w.leavesBy("e1", patience)
	w.clear()
	w.e2.kill()
	c.kith("exit", "use", "e2")
	w.state(ipc.ExitBlocked)
	c.warning(ipc.HealthExitBlocked)
	if who := w.who(w.web[0]); who != "" {
		t.Errorf("with the exit node gone, the web server sees %q", who)
	}
	w.tight("it went while it was switched to")
	c.kith("exit", "use", "e1")
	w.leavesBy("e1", patience)
	w.tight("back")
	w.e1.kith("exit", "offer", "off")
	w.state(ipc.ExitBlocked)
	c.await("the reason", func(st ipc.Status) bool {
		return slices.ContainsFunc(st.Health, func(h ipc.Health) bool { return h.Code == ipc.HealthExitBlocked && h.Args["why"] == "refuses" })
	})
	if who := w.who(w.web[0]); who != "" {
		t.Errorf("with an exit node that refuses, the web server sees %q", who)
	}
	w.tight("it refuses")
	w.e1.kith("exit", "offer", "on")
	w.leavesBy("e1", patience)
	w.tight("it does not refuse any more")

	off := func() { w.e1.exec("", "sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0") }
	off()
	w.leavesBy("e1", patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	until(t, "it is said", 3*patience, func() bool { off(); <-tick.C; return w.e1.health(ipc.HealthNotPassing) })
	w.e1.kith("exit", "offer", "off")
	w.e1.kith("exit", "offer", "on")
	w.leavesBy("e1", 4*patience)
	until(t, "nothing is said any more", 4*patience, func() bool { return !w.e1.health(ipc.HealthNotPassing) })
	w.tight("forwarding switched off by another")
}
