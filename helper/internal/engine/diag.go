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
	add(ipc.Check{
		Code: ipc.CheckUplink, OK: up4 || up6, Text: "A network interface is up", Detail: familyWords(up4, up6),
		Fix: "Connect a cable or join a Wi-Fi.",
	})
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
	var words []string
	for _, q := range j.wire.Net().Relays {
		name := "a relay of " + j.link.Name
		if q.ID == j.link.Sponsor {
			name = j.link.SponsorName
		}
		c.OK = c.OK || alive(q, probed{})
		words = append(words, relayWords(name, q, probed{}, false))
	}
	if len(words) > 0 {
		c.Detail = strings.Join(words, "; ")
		add(c)
	}
}

// diag checks one network.
func (n *network) diag(add func(ipc.Check), found []probed) {
	check := func(c ipc.Check) {
		c.Network = n.alias
		add(c)
	}
	if n.on == nil {
		c := ipc.Check{Code: ipc.CheckNetwork, Text: n.alias + " is connected", Detail: "off", Fix: "Connect it: kith up."}
		switch {
		case n.me() == nil:
			c.Detail, c.Fix = "this device was removed", "Ask an admin for a new invite, or forget it: kith leave."
			c.Args = map[string]string{"case": ipc.CaseRemoved}
		case n.failed != nil:
			c.Detail, c.Fix = n.failed.Error(), "See the message."
			c.Args = map[string]string{"case": ipc.CaseFailed}
		}
		check(c)
		return
	}
	reached, members := 0, 0
	for _, p := range n.status().Peers {
		members++
		if p.Online {
			reached++
		}
	}
	check(ipc.Check{
		Code: ipc.CheckNetwork, OK: true, Text: n.alias + " is connected",
		Detail: fmt.Sprintf("UDP port %d on %s", n.on.conn.Port(), n.on.ifname),
	})
	check(ipc.Check{
		Code: ipc.CheckPeers, OK: members == 0 || reached > 0, Text: "Other devices of " + n.alias + " can be reached",
		Detail: fmt.Sprintf("%d of %d", reached, members), Fix: "Check that they are on, and that this host's firewall lets UDP out.",
	})
	bad := n.e.health.Named(ipc.HealthIPv4Conflict, ipc.HealthIPv4Blocked, ipc.HealthNoIPv6)
	check(ipc.Check{
		Code: ipc.CheckAddresses, OK: len(bad) == 0, Text: "Both address families work in " + n.alias, Detail: strings.Join(bad, "; "),
		Fix: "Everything else works; names resolve to the family that does.",
	})
	n.diagNet(check, reached, members, found)
}
