//go:build gui

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestRealHelpers has the window create a network and invite; another host
// joins by the command line, and the window shows it on the LAN.
func TestRealHelpers(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	p := newHosts(t, []*bed{b}, 1)
	service := p.start(b, 0)
	p.start(b, 1)
	b.launch()
	b.menuHas("○ No networks yet")
	b.see("Welcome to Kith")
	b.host.click(b, "Create…")
	b.see("Create a network")
	b.typing("home")
	b.key("Tab")
	b.typing("laptop")
	b.key("Return")
	b.see("Write these 24 words down")
	b.click("I have written them down")
	b.click("Done")
	b.menuHas("laptop.home.internal")
	b.menuHas("● Connected — no other devices yet")

	b.click("Networks")
	b.click("Invite…")
	b.see("Invite to home")
	b.click("Make a link")
	b.see("kith://join/")
	b.shot("1-invite")
	b.click("Copy")
	var link string
	b.until("the link on the clipboard", func() bool { link = b.clipboard(); return strings.HasPrefix(link, "kith://join/") })
	b.click("Close")

	join := p.on(1, filepath.Join(p.bin, "kith"), "--socket", p.sock[1], "join", "--device", "nas", "-")
	join.Stdin = strings.NewReader(link)
	if out, err := join.CombinedOutput(); err != nil {
		t.Fatalf("kith join: %v\n%s", err, out)
	}
	b.menuHas("● Connected — 2 of 2 devices")
	b.key("ctrl+f")
	b.see("nas")
	b.see("LAN")
	if out, err := p.on(1, "ping", "-c", "1", "-W", "5", "laptop.home.internal").CombinedOutput(); err != nil {
		t.Errorf("ping by name: %v\n%s", err, out)
	}
	b.typing("nas")
	b.key("Down")
	b.see("Both devices are on one local network.")
	b.shot("2-devices")
	b.key("Return")
	b.until("its name on the clipboard", func() bool { return b.clipboard() == "nas.home.internal" })

	b.host.click(b, "Disconnect")
	b.menuHas("○ Disconnected")
	b.see("Disconnected") // Connect is where Disconnect was
	b.shot("3-disconnected")
	if out, err := p.on(0, "ping", "-c", "1", "-W", "1", "nas").CombinedOutput(); err == nil {
		t.Errorf("disconnected, and yet:\n%s", out)
	}
	b.click("Connect")
	b.menuHas("● Connected — 2 of 2 devices")
	b.until("an answer by name", func() bool { return p.on(0, "ping", "-c", "1", "-W", "1", "nas").Run() == nil })

	p.kith(1, "down")
	b.menuHas("● Connected — 1 of 2 devices")
	b.shot("4-peer-gone")
	service.stop()
	b.see("The background service isn't running.")
	p.start(b, 0)
	b.menuHas("● Connected — 1 of 2 devices")
	p.kith(1, "up")
	b.menuHas("● Connected — 2 of 2 devices")
}
