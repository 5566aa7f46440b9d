package e2e

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestNetnsExitMinute: one capture of the client's uplink from the word that an
// exit node is in use to the word that none is, a minute at least, in which all
// happens that may. Not one packet leaves in clear.
func TestNetnsExitMinute(t *testing.T) {
	w := newExitWorld(t)
	c := w.c
	c.kith("exit", "approve", "e1")
	c.kith("exit", "approve", "e2")
	until(t, "both offer", patience, func() bool { return c.peer("e1").Exit && c.peer("e2").Exit })
	c.reach("e1.home.internal", patience)
	c.reach("e2.home.internal", patience)
	stop := w.storm()
	defer stop()
	hangUp := w.heldOpen()
	defer hangUp()
	every := map[string]bool{}
	until(t, "all of the storm is seen without an exit", patience, func() bool {
		for _, p := range w.clear() {
			every[p] = true
		}
		return len(every) >= 6
	})

	c.kith("exit", "use", "e1")
	w.clear() // what left before the answer
	start := time.Now()
	step := func(what string) {
		t.Helper()
		w.tight(what)
		t.Logf("%v: %s", time.Since(start).Round(time.Second), what)
	}
	w.leavesBy("e1", patience)
	step("switched on")

	resolves := func() {
		t.Helper()
		w.names.forget()
		until(t, "web.test resolves", patience, func() bool { return strings.Contains(c.getent("web.test"), w.web[0].String()) })
		if !w.names.heard("web.test.") {
			t.Error("the exit node did not ask for it")
		}
	}
	resolves()
	step("a name resolved")

	for _, name := range []string{"e2", "e1", "e2"} {
		c.kith("exit", "use", name)
		w.leavesBy(name, patience)
		step("switched over to " + name)
	}
	w.exitDies(w.e2, "e2")
	step("the exit node killed and back")

	w.e2.kill()
	c.kith("exit", "use", "e1")
	w.leavesBy("e1", patience)
	step("switched over from one that is dead")
	c.kith("exit", "use", "e2")
	w.e2.start()
	w.leavesBy("e2", patience)
	step("switched over to one that was dead")

	c.kill()
	for range 15 {
		if who := w.who(w.web[0]); who != "" {
			t.Fatalf("with the helper dead, the web server sees %q", who)
		}
	}
	step("the helper killed")
	c.start()
	w.leavesBy("e2", patience)
	step("the helper back")

	w.uplink.Renumber(c.host)
	w.leavesBy("e2", patience)
	step("roamed to other addresses")
	w.uplink.Unplug(c.host)
	step("without an uplink")
	w.uplink.Plug(c.host, 100)
	w.leavesBy("e2", patience)
	resolves()
	step("plugged in again")

	for i := 0; time.Since(start) < time.Minute; i++ {
		name := []string{"e1", "e2"}[i%2]
		c.kith("exit", "use", name)
		w.leavesBy(name, patience)
		w.tight("switched over to " + name + " again")
	}
	step("a minute over")
	c.kith("exit", "use", "e1") // on the way, too
	w.tight("switching over, then off")
	c.kith("exit", "off")
	for _, a := range w.uplink.Addrs(c.host) {
		w.exits[a] = "c"
	}
	w.leavesBy("c", patience)
	until(t, "the storm is seen again", patience, func() bool { return len(w.clear()) >= 4 })
}

// heldOpen sends on sockets that were opened, and so have their source addresses
// and routes, before any exit node is in use.
func (w *exitWorld) heldOpen() (stop func()) {
	w.t.Helper()
	var open []net.Conn
	targets := []string{"udp " + netip.AddrPortFrom(w.resolver, 53).String()}
	for _, a := range w.web {
		targets = append(targets, "tcp "+netip.AddrPortFrom(a, 80).String(), "udp "+netip.AddrPortFrom(a, 443).String())
	}
	for _, target := range targets {
		network, addr, _ := strings.Cut(target, " ")
		var c net.Conn
		var err error
		w.c.host.Do(func() { c, err = net.DialTimeout(network, addr, patience) })
		must(w.t, err)
		open = append(open, c)
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			for _, c := range open {
				c.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
				c.Write([]byte("GET"))
			}
		}
	}()
	return func() {
		close(quit)
		<-done
		for _, c := range open {
			c.Close()
		}
	}
}
