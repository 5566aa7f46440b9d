//go:build gui

package e2e

import (
	"fmt"
	"testing"

	"kith.internal/ipc"
)

// TestRealStates brings about, with real helpers, a LAN without internet, a
// network that goes and comes back, and a route that meets a local network. Of
// the other states TestRealHelpers has a helper that is absent, TestRealExit an
// exit node that is offline, TestRealReader an account that may not; TestStates
// has all by a fake helper.
func TestRealStates(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHosts(t, []*bed{b}, 2)
	for i := range 3 {
		h.start(b, i)
	}
	h.create(1, "home", "nas")
	h.join(2, 1, "vps")
	h.join(0, 1, "laptop")
	b.launch()
	b.menuHas("● Connected — 3 of 3 devices")
	b.see("No internet. Reaching 2 devices on this network.")
	b.menuHas("⚠ No internet. Reaching 2 devices on this network.")
	b.shot("1-lan-only")
	h.internet()
	b.gone("No internet.")

	h.ip("-n", h.name[0], "link", "set", "lan0", "down")
	b.menuHas("⚠ No network. Kith reconnects by itself.")
	b.see("No network. Kith reconnects by itself.")
	b.shot("2-no-network")
	h.ip("-n", h.name[0], "link", "set", "lan0", "up")
	h.ip("-n", h.name[0], "route", "replace", "default", "via", "192.168.79.254")
	b.gone("No network.")
	b.menuHas("● Connected — 3 of 3 devices")

	h.kith(1, "route", "add", "10.20.0.0/16")
	b.until("the route here", func() bool { _, err := h.try(0, "route", "accept", "10.20.0.0/16"); return err == nil })
	h.ip("-n", h.name[0], "link", "add", "office", "type", "veth", "peer", "name", "desk")
	h.ip("-n", h.name[0], "link", "set", "desk", "up")
	h.ip("-n", h.name[0], "addr", "add", "10.20.0.1/16", "dev", "office")
	h.ip("-n", h.name[0], "link", "set", "office", "up")
	b.see("10.20.0.0/16 is also your local network")
	b.shot("3-conflict")
	b.click("Choose")
	b.see("10.20.0.0/16 behind nas")
	b.shot("4-routes")
}

// gone waits until no text begins so.
func (b *bed) gone(begin string) {
	b.t.Helper()
	b.until(fmt.Sprintf("no text %q", begin), func() bool { _, ok := b.find(begin); return !ok && len(b.texts()) > 0 })
}

// TestRealReader is a second account of a machine, before an administrator lets
// it act and after.
func TestRealReader(t *testing.T) {
	const nobody = 65534
	b, h := pair(t, false, "-ac")
	h.internet()
	b.as(nobody)
	b.launch()
	b.menuHas("⚠ Your account can view but not change the VPN.")
	b.see("Your account can view but not change the VPN.")
	b.see("nas")
	if row, ok := findRow(b.host.menu(), "Join…"); !ok || row.enabled {
		t.Error("who may look can join")
	}
	b.shot("1-reader")
	b.click("Allow me…")
	b.see("An administrator of this computer can allow it")
	b.shot("2-allow")
	b.click("Close")
	h.kith(0, "operator", "add", "nobody")
	b.gone("Your account can view")
	b.host.click(b, "Disconnect")
	b.menuHas("○ Disconnected")
	b.until("the helper to be off", func() bool { return h.status(0).State == ipc.StateOff })
	b.shot("3-allowed")
	h.kith(0, "operator", "remove", "nobody")
	b.menuHas("⚠ Your account can view but not change the VPN.")
}
