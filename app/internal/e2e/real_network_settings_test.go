//go:build gui

package e2e

import "strings"

// setRoutes has this device lead to a subnet, and takes that back.
func setRoutes(b *bed, h *hosts) {
	b.t.Helper()
	b.click("Routes")
	b.see("No device leads to a subnet.")
	b.typing("10.20.0.0")
	b.key("Return")
	b.see("A subnet looks like 192.168.7.0/24.")
	b.key("ctrl+a")
	b.typing("10.0.0.0/6")
	b.key("Return")
	b.see("That does not work: 8.0.0.0/6 is too large for a subnet")
	b.key("ctrl+a")
	b.typing("10.20.0.0/16")
	b.key("Return")
	b.see("10.20.0.0/16 behind laptop")
	b.until("the other host to hear of it", func() bool { out, _ := h.try(1, "route", "list"); return strings.Contains(out, "10.20.0.0/16") })
	b.shot("4-routes")
	b.click("Withdraw")
	b.see("No device leads to a subnet.")
}

// setNames adds a record of the network, which the other host resolves, and removes it.
func setNames(b *bed, h *hosts) {
	b.t.Helper()
	b.click("Names")
	b.see("No records yet.")
	b.click("printer")
	b.typing("printer")
	b.key("Tab")
	b.typing("192.168.79.200")
	b.key("Return")
	b.see("printer.home.internal")
	b.until("the other host to resolve it", func() bool {
		out, _ := h.try(1, "dns", "query", "printer.home.internal")
		return strings.Contains(out, "192.168.79.200")
	})
	b.shot("5-names")
	b.click("Remove")
	b.see("No records yet.")
}

// setRules mends a policy, looks at what it would do, and puts it in force.
func setRules(b *bed, h *hosts) {
	b.t.Helper()
	b.click("Rules")
	b.see("No rules are set: members reach members.")
	b.click("Empty: members reach members.")
	b.typing(`{"allow":[}`)
	b.click("Check")
	b.see("Line 1, column")
	b.shot("6-fault")
	b.click(`{"allow"`)
	b.key("ctrl+a")
	b.typing(`{"allow":[{"from":["laptop"],"to":["nas"]}]}`)
	b.click("Check")
	b.see("Would not be reachable any more")
	b.shot("7-checked")
	b.click("Put in force")
	b.see("In force now.")
	b.until("the other host to keep to it", func() bool {
		return h.on(1, "ping", "-c", "1", "-W", "1", "laptop.home.internal").Run() != nil && h.on(0, "ping", "-c", "1", "-W", "2", "nas.home.internal").Run() == nil
	})
}

// setUsers lets another account act, and takes that back.
func setUsers(b *bed, h *hosts) {
	b.t.Helper()
	b.click("Users")
	b.see("Nobody but administrators.")
	b.click("login name")
	b.typing("nobody-by-that-name")
	b.key("Return")
	b.see("This computer knows no user nobody-by-that-name.")
	b.shot("8-no-user")
	b.key("ctrl+a")
	b.typing("nobody")
	b.key("Return")
	b.until("the helper to have it", func() bool { return strings.Contains(h.kith(0, "operator", "list"), "nobody") })
	b.see("nobody")
	b.shot("9-users")
	b.click("Remove")
	b.see("Nobody but administrators.")
}
