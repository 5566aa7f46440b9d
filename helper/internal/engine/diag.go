package engine

import (
	"fmt"
	"strings"

	"kith.internal/ipc"
)

// diag checks what all networks share of the host.
func (e *Engine) diag(add func(ipc.Check)) {
	up4, up6 := e.families()
	add(ipc.Check{Code: ipc.CheckHelper, OK: true, Text: "The background service runs", Detail: e.cfg.Version})
	add(details(ipc.Check{
		Code: ipc.CheckUplink, OK: up4 || up6, Text: "A network interface is up",
		Fix: "Connect a cable or join a Wi-Fi.",
	}, "", familyWords(up4, up6)))
	problems := e.announcer.Problems()
	add(ipc.Check{
		Code: ipc.CheckDiscovery, OK: len(problems) == 0, Text: "Devices on the local network can be found", Detail: joinErrors(problems),
		Fix: "Let multicast on UDP port 18743 pass on this network.",
	})
	mode, why := e.dns.Mode()
	add(ipc.Check{
		Code: ipc.CheckDNS, OK: len(e.health.Named(ipc.HealthDNSFailed, ipc.HealthDNSOverridden)) == 0, Text: "Names resolve",
		Detail: fmt.Sprintf("%s: %s", mode, why), Fix: "kith dns repair sets it up anew; names always resolve at self.dns.",
	})
	clock := e.health.Named(ipc.HealthClock)
	add(ipc.Check{
		Code: ipc.CheckClock, OK: len(clock) == 0, Text: "The clock agrees with the other devices'", Detail: strings.Join(clock, "; "),
		Fix: "Set the clock, or turn on time synchronisation.",
	})
}

// diag says what became of the relays in the link: a proxy that wants a password
// keeps a device from joining without anybody else being able to tell.
func (j *joining) diag(add func(ipc.Check)) {
	c := ipc.Check{
		Network: j.link.Name, Code: ipc.CheckRelays, Text: "Answers of the relays",
		Fix: "Look whether they run, and whether the proxy, if there is one, lets this device through.",
	}
	var words []ipc.Finding
	for _, q := range j.wire.Net().Relays {
		name := "a relay of " + j.link.Name
		if q.ID == j.link.Sponsor {
			name = j.link.SponsorName
		}
		c.OK = c.OK || alive(q, probed{})
		words = append(words, relayWords(name, q, probed{}, false))
	}
	if len(words) > 0 {
		add(details(c, "; ", words...))
	}
}

// diag checks one network.
func (n *network) diag(add func(ipc.Check), probes []probed) {
	check := func(c ipc.Check) {
		c.Network = n.alias
		add(c)
	}
	if n.on == nil {
		c := ipc.Check{Code: ipc.CheckNetwork, Text: n.alias + " is connected", Fix: "Connect it: kith up."}
		why := found(ipc.FoundOff, "off")
		switch {
		case n.me() == nil:
			why, c.Fix = found(ipc.FoundRemoved, "this device was removed"), "Ask an admin for a new invite, or forget it: kith leave."
			c.Args = map[string]string{"case": ipc.CaseRemoved}
		case n.failed != nil:
			why, c.Fix = found("", n.failed.Error()), "See the message."
			c.Args = map[string]string{"case": ipc.CaseFailed}
		}
		check(details(c, "", why))
		return
	}
	reached, members := 0, 0
	for _, p := range n.status().Peers {
		members++
		if p.Online {
			reached++
		}
	}
	port := fmt.Sprint(n.on.conn.Port())
	check(details(ipc.Check{Code: ipc.CheckNetwork, OK: true, Text: n.alias + " is connected"}, "",
		found(ipc.FoundPort, "UDP port "+port+" on "+n.on.ifname, "port", port, "interface", n.on.ifname)))
	check(details(ipc.Check{
		Code: ipc.CheckPeers, OK: members == 0 || reached > 0, Text: "Other devices of " + n.alias + " can be reached",
		Fix: "Check that they are on, and that this host's firewall lets UDP out.",
	}, "", found(ipc.FoundReached, fmt.Sprintf("%d of %d", reached, members), "up", fmt.Sprint(reached), "n", fmt.Sprint(members))))
	bad := n.e.health.Named(ipc.HealthIPv4Conflict, ipc.HealthIPv4Blocked, ipc.HealthNoIPv6)
	check(ipc.Check{
		Code: ipc.CheckAddresses, OK: len(bad) == 0, Text: "Both address families work in " + n.alias, Detail: strings.Join(bad, "; "),
		Fix: "Everything else works; names resolve to the family that does.",
	})
	n.diagNet(check, reached, members, probes)
}
