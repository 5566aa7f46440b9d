package egress

import (
	"fmt"
	"strings"
)

// pfGroup is a group that no program but ours runs in: pf knows our sockets, once
// opened, by their owner and group. It needs no name and no entry anywhere.
const pfGroup = 27496

// pf is the guard in the language of pf.conf(5), empty for none. It has no state:
// what comes in is not its business, and answers to it leave in clear.
func (c Config) pf() string {
	if !c.Block {
		return ""
	}
	var b strings.Builder
	rule := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	pass := func(format string, args ...any) { rule("pass out quick "+format+" no state", args...) }
	pass("on lo0 all")
	for _, o := range c.Own {
		pass("on %s all", o.Name)
	}
	pass("proto { tcp udp } all user root group %d", pfGroup)
	// What a link needs: see alive.
	pass("inet proto udp from any port 68 to any port 67")
	pass("inet6 proto udp from %s port 546 to any port 547", linkLocal6)
	pass("inet6 proto ipv6-icmp all icmp6-type { 133 134 135 136 }")
	pass("inet6 proto ipv6-icmp from any to %s icmp6-type { 131 132 143 } allow-opts", multicast6)
	pass("inet proto igmp from any to %s allow-opts", multicast4)
	if c.Portal {
		for _, p := range portal {
			name := "tcp"
			if p.proto == udp {
				name = "udp"
			}
			pass("proto %s from any to any port %d", name, p.port)
		}
	}
	if len(c.AllowLAN) > 0 {
		rule("block drop out quick proto { tcp udp } from any to any port { 53 853 }")
		for _, p := range c.AllowLAN {
			pass("from any to %s", p)
		}
		for _, p := range []fmt.Stringer{linkLocal6, multicast4, broadcast4, multicast6} {
			pass("from any to %s", p)
		}
	}
	rule("block drop out quick all")
	return b.String()
}
