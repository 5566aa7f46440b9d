//go:build gui

package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kith.internal/ipc"
)

// status is what a host's helper says.
func (h *hosts) status(host int) (st ipc.Status) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.kith(host, "status", "--json")), &st); err != nil {
		h.t.Fatal(err)
	}
	return st
}

// network is the only network of a host.
func (h *hosts) network(host int) (n ipc.Network) {
	h.t.Helper()
	if st := h.status(host); len(st.Networks) > 0 {
		n = st.Networks[0]
	}
	return n
}

// TestRealSettings clicks through Settings and looks at what the helper, and
// another host, make of it.
func TestRealSettings(t *testing.T) {
	b, h := pair(t, false)
	b.launch()
	b.menuHas("● Connected — 2 of 2 devices")
	b.see("No internet. Reaching 1 device on this network.") // it moves the page, once
	setApp(b)
	setDevice(b, h)
	setRoutes(b, h)
	setNames(b, h)
	setRules(b, h)
	setUsers(b, h)
}

// setApp is what is set about the app itself.
func setApp(b *bed) {
	b.t.Helper()
	home := filepath.Join(filepath.Dir(b.run), "home")
	login := filepath.Join(home, ".config", "autostart", "kith.desktop")
	there := func(file string) bool { _, err := os.Stat(file); return err == nil }
	b.key("ctrl+comma")
	b.click("Start Kith at login")
	b.until("the autostart file", func() bool { return there(login) })
	b.click("Start Kith at login")
	b.until("no autostart file", func() bool { return !there(login) })
	b.click("disconnects and quits")
	b.until("it to be kept", func() bool {
		raw, _ := os.ReadFile(filepath.Join(home, ".config", "kith", "app.json"))
		return strings.Contains(strings.ReplaceAll(string(raw), " ", ""), `"quit_down":true`)
	})
	b.shot("1-app")
}

// setDevice is what this device does in a network.
func setDevice(b *bed, h *hosts) {
	b.t.Helper()
	b.click("This device")
	b.tick("Shields up", func() bool { return h.network(0).Shields })
	b.until("nothing to come in", func() bool { return h.on(1, "ping", "-c", "1", "-W", "1", "laptop.home.internal").Run() != nil })
	b.shot("2-shields")
	b.tick("Shields up", func() bool { return !h.network(0).Shields })
	b.until("an answer again", func() bool { return h.on(1, "ping", "-c", "1", "-W", "1", "laptop.home.internal").Run() == nil })
	b.tick("Offer this device as an exit node", func() bool { return h.network(0).Exit.Offering })
	b.see("It is offered")
	b.until("the other host to hear of it", func() bool { out, _ := h.try(1, "exit", "list"); return strings.Contains(out, "laptop") })
	b.tick("Who uses it also reaches this device's local network", func() bool { return h.network(0).Exit.OfferLAN })
	b.tick("Pass sealed packets on", func() bool { return !h.network(0).Forward.On })
	b.tick("Pass sealed packets on", func() bool { return h.network(0).Forward.On })
	b.click("Be a relay")
	b.see("This device has no address that others reach from outside.")
	b.shot("2b-where")
	b.click("OK")
	b.click("Where others find it")
	b.typing("192.168.79.1:443")
	b.tick("Be a relay", func() bool { return h.network(0).Relay.On })
	b.see("Others find it at 192.168.79.1:443")
	b.shot("3-offers")
	b.tick("Be a relay", func() bool { return !h.network(0).Relay.On })
	b.tick("Offer this device as an exit node", func() bool { return !h.network(0).Exit.Offering })
}

// tick clicks a check until the helper has what it stands for.
func (b *bed) tick(begin string, so func() bool) {
	b.t.Helper()
	b.click(begin)
	b.until("the helper to have: "+begin, so)
}

// TestRealNetworks names, tags and removes a device, founds a second network,
// leaves it, and reads Diagnostics.
func TestRealNetworks(t *testing.T) {
	b, h := pair(t, true)
	b.launch()
	b.menuHas("● Connected — 2 of 2 devices")
	b.see("No internet. Reaching 1 device on this network.")
	b.see("nas")
	b.key("Down")
	b.key("ctrl+p")
	b.until("an answer straight from nas", func() bool {
		for _, s := range b.texts() {
			if strings.HasSuffix(s, "— reached without a third device") {
				return true
			}
		}
		return false
	})
	b.shot("0-ping")
	b.click("Rename…")
	b.see("Rename nas")
	b.key("ctrl+a")
	b.typing("Media Box")
	b.key("Return")
	b.see("A name has 1 to 63 letters")
	b.shot("1-badname")
	b.click("OK")
	b.key("ctrl+a")
	b.typing("media")
	b.key("Return")
	b.until("the new name there", func() bool { return h.network(1).Self.Name == "media" })
	b.see("media.home.")
	b.click("Role and tags…")
	b.see("Role and tags of media")
	b.shot("2-role")
	b.click("Such as server, media")
	b.typing("server")
	b.click("OK")
	b.until("the tag", func() bool {
		n := h.network(0)
		return len(n.Peers) == 1 && strings.Join(n.Peers[0].Tags, ",") == "server"
	})

	b.host.click(b, "Create…")
	b.see("Create a network")
	b.typing("work")
	b.key("Tab")
	b.typing("laptop")
	b.key("Return")
	b.see("Write these 24 words down")
	b.click("I have written them down")
	b.click("Done")
	b.menuHas("laptop.work.internal")
	b.click("Networks")
	b.see("Owner · no other devices yet")
	b.shot("3-two-networks")
	b.host.click(b, "work") // off in the tray
	b.see("Owner · disconnected")
	b.host.click(b, "work")
	b.see("Owner · no other devices yet")
	b.click("Leave…") // the last is work's
	b.see("Leave work?")
	b.shot("4-leave")
	b.click("Leave")
	b.until("it to be gone", func() bool { return len(h.status(0).Networks) == 1 })
	b.menuHas("Network: home")

	b.click("Diagnostics")
	b.see("Names resolve")
	b.shot("5-diagnostics")
	b.click("Report…")
	b.see("Save")
	b.shot("6-report")
	b.click("Save")
	b.see("Saved")
	b.click("OK")

	b.click("Devices")
	b.click("media")
	b.click("Remove…")
	b.see("Remove media?")
	b.shot("7-remove")
	b.click("Remove")
	b.see("No other devices yet.")
	b.until("it to know", func() bool { return h.network(1).Self.Role == ipc.RoleRemoved })
	b.menuHas("● Connected — no other devices yet")
	b.shot("8-alone")
}
