//go:build gui

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith.internal/ipc"
)

// TestRealStates brings about, with real helpers, the states that one machine
// can be brought into: a LAN without internet, a network that goes and comes
// back, a route that meets a local network, a relayed path, DNS settings that
// another program keeps replacing, and a removal. Of the others TestRealHelpers
// has a helper that is absent, TestRealExit an exit node that is offline,
// TestRealReader an account that may not; TestStates has all by a fake helper.
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
	uplinks(b, h)
	conflict(b, h)
	relayed(b, h)
	replacedDNS(b, h)
	h.kith(1, "device", "revoke", "laptop", "--yes")
	b.menuHas("⚠ nas (owner) removed this device from home.")
	b.see("nas (owner) removed this device from home.")
	b.shot("8-removed")
}

// uplinks is a LAN without internet, one with it, none at all, and back.
func uplinks(b *bed, h *hosts) {
	b.t.Helper()
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
}

// conflict is a route in use that comes to meet a network of one's own.
func conflict(b *bed, h *hosts) {
	b.t.Helper()
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
	b.click("Stop using")
	b.gone("Choose")
}

// relayed is a path that a relay alone leads, and why.
func relayed(b *bed, h *hosts) {
	b.t.Helper()
	relay(b, h)
	b.click("Devices")
	b.until("a path by the relay", func() bool {
		h.on(0, "ping", "-c", "1", "-W", "1", "nas.home.internal").Run()
		_, ok := b.find("Relayed via vps")
		return ok
	})
	b.click("nas")
	b.see("No direct way is open, so vps passes sealed packets on.")
	b.shot("5-relayed")
	b.click("Why?")
	b.see("Check again")
	b.shot("6-why")
}

// replacedDNS has another program write its settings over ours until the helper
// gives up; one click brings ours back.
func replacedDNS(b *bed, h *hosts) {
	b.t.Helper()
	replaced := "nameserver 192.0.2.1\n"
	resolv := filepath.Join("/etc/netns", h.name[0], "resolv.conf")
	b.until("the settings to be given up", func() bool {
		if raw, err := os.ReadFile(resolv); err == nil && string(raw) != replaced {
			if err := os.WriteFile(resolv, []byte(replaced), 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
		_, ok := b.find("Another program replaced our DNS")
		return ok
	})
	b.shot("7-dns")
	b.click("Repair")
	b.gone("Another program replaced our DNS")
	b.until("our settings there", func() bool { raw, _ := os.ReadFile(resolv); return string(raw) != replaced })
}

// gone waits until no text begins so.
func (b *bed) gone(begin string) {
	b.t.Helper()
	b.until(fmt.Sprintf("no text %q", begin), func() bool { _, ok := b.find(begin); return !ok && len(b.texts()) > 0 })
}

// relay lets host 0 and host 1 reach each other by host 2 alone, a relay.
func relay(b *bed, h *hosts) {
	h.t.Helper()
	h.kith(2, "relay", "on", "--advertise", h.addr(2)+":443")
	h.kith(2, "forward", "off")
	b.until("the relay to be approved", func() bool { _, err := h.try(1, "device", "approve", "vps"); return err == nil })
	mac, err := h.on(1, "cat", "/sys/class/net/lan0/address").Output()
	if err != nil {
		h.t.Fatal(err)
	}
	rules := fmt.Sprintf("table inet apart {\nchain in {\ntype filter hook prerouting priority -400;\nether saddr %s drop\n}\n}\n", strings.TrimSpace(string(mac)))
	nft := h.on(0, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules)
	if out, err := nft.CombinedOutput(); err != nil {
		h.t.Fatalf("nft: %v\n%s", err, out)
	}
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
	b.menuLocks("Join…")
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
