//go:build gui

package e2e

import (
	"testing"
	"time"
)

// TestRealExit sends internet traffic through another host and back, from the
// tray; then that host dies, and the window leads out of it by one click.
func TestRealExit(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHosts(t, []*bed{b}, 2)
	h.internet()
	var nas *daemon
	for i, name := range []string{"laptop", "nas", "vps"} {
		d := h.start(b, i)
		switch name {
		case "laptop":
			h.create(i, "home", name)
			continue
		case "nas":
			nas = d
		}
		h.join(i, 0, name)
		h.kith(i, "exit", "offer", "on")
		b.until("approval of "+name, func() bool { _, err := h.try(0, "exit", "approve", name); return err == nil })
	}
	b.launch("--background")
	b.menuHas("● Connected — 3 of 3 devices")
	b.menuHas("Exit node: None")
	leaves := func(host int) {
		t.Helper()
		b.until("to leave as "+h.addr(host), func() bool { return h.fetch(0, webAddr, "80") == h.addr(host) })
	}
	leaves(0)
	on := b.host.icon()
	b.host.click(b, "nas")
	b.menuHas("Exit node: nas")
	leaves(1)
	b.until("another icon", func() bool { i := b.host.icon(); return len(i.Data) > 0 && string(i.Data) != string(on.Data) })
	b.host.click(b, "Devices…")
	b.click("Exit nodes")
	b.see("Internet traffic goes through nas.")
	b.shot("1-exit")
	b.host.click(b, "None")
	b.menuHas("Exit node: None")
	b.see("No exit node: internet traffic goes out from this network.")
	leaves(0)
	b.shot("2-none")
	b.host.click(b, "nas")
	b.menuHas("Exit node: nas")
	leaves(1)
	b.host.click(b, "Allow local network")
	b.until("the check", func() bool { r, ok := findRow(b.host.menu(), "Allow local network"); return ok && r.checked })
	leaves(1)

	died := time.Now()
	nas.kill()
	const blocked = "⚠ Exit node nas is offline. Internet traffic is blocked."
	for end := died.Add(90 * time.Second); time.Now().Before(end); {
		if _, ok := findRow(b.host.menu(), blocked); ok {
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	b.menuHas(blocked)
	t.Logf("the menu tells of a dead exit node after %v", time.Since(died).Round(time.Second))
	b.see("Exit node nas is offline.")
	b.see("Choose another")
	b.shot("3-blocked")
	if got := h.fetch(0, webAddr, "80"); got != "" {
		t.Errorf("with its exit node gone it leaves as %s", got)
	}
	b.click("Turn off")
	b.menuHas("Exit node: None")
	b.see("No exit node: internet traffic goes out from this network.")
	leaves(0)
	b.shot("4-off")
}
