package netnstest

import (
	"fmt"
	"net/netip"
	"strings"
)

// Rules is a set of nftables rules in a table of its own, for Load and Unload.
type Rules struct{ family, name, body string }

// Load puts the rules in force on h, instead of those it has of this kind.
func (h *Host) Load(r Rules) {
	h.bed.t.Helper()
	table := r.family + " " + r.name
	h.NFT(fmt.Sprintf("table %s {}; delete table %s; table %s {\n%s\n}\n", table, table, table, r.body))
}

// Unload takes rules away again.
func (h *Host) Unload(r Rules) {
	h.bed.t.Helper()
	h.NFT("delete table " + r.family + " " + r.name + "\n")
}

// guarded drops what comes in by the uplink and was not asked for. A home
// router's own ports are closed, too: were a strange datagram let in to the
// router itself, its entry would take the port that a NAT's mapping keeps.
const guarded = `
	chain input { type filter hook input priority 0; iifname %[1]q ct state != { established, related } drop; }
	chain forward { type filter hook forward priority 0; iifname %[1]q ct state != { established, related } drop; }`

// HomeNAT is what homes have: the mapping keeps the port where it can, and
// answers come from the address and port that was asked alone.
func HomeNAT(uplink string) Rules {
	return Rules{"ip", "nat", fmt.Sprintf(guarded+`
	chain post { type nat hook postrouting priority srcnat; oifname %[1]q masquerade; }`, uplink)}
}

// OpenNAT is HomeNAT without closed ports: a datagram that comes before its
// port was mapped takes that port, and the mapping gets another.
func OpenNAT(uplink string) Rules {
	return Rules{"ip", "nat", fmt.Sprintf(`
	chain forward { type filter hook forward priority 0; iifname %[1]q ct state != { established, related } drop; }
	chain post { type nat hook postrouting priority srcnat; oifname %[1]q masquerade; }`, uplink)}
}

// SymmetricNAT maps to another random port for each destination.
func SymmetricNAT(uplink string) Rules {
	return Rules{"ip", "nat", fmt.Sprintf(guarded+`
	chain post { type nat hook postrouting priority srcnat; oifname %[1]q masquerade fully-random; }`, uplink)}
}

// CarrierNAT maps UDP one to one: who has sent from a port gets all that comes
// to that port of the external address, from wherever (RFC 4787: endpoint-
// independent mapping and filtering). All customers share the address. With
// hairpin they reach one another by it, and see the external source.
func CarrierNAT(uplink string, external netip.Addr, hairpin bool) Rules {
	turn := fmt.Sprintf(`chain raw { type filter hook prerouting priority raw; iifname != %q ip daddr %v drop; }`, uplink, external)
	if hairpin {
		turn = fmt.Sprintf(`chain turn { type nat hook postrouting priority 99; oifname != %q ct status dnat ip saddr 100.64.0.0/10 snat to %v; }`, uplink, external)
	}
	return Rules{"ip", "nat", fmt.Sprintf(`
	map mapped { type inet_service : ipv4_addr; flags dynamic, timeout; timeout 5m; size 65535; }
	chain learn { type filter hook forward priority -1; iifname != %[1]q meta l4proto udp update @mapped { udp sport : ip saddr }; }
	chain input { type filter hook input priority 0; iifname %[1]q ct state != { established, related } drop; }
	chain forward { type filter hook forward priority 0; ct state { established, related } accept; ct status dnat accept; iifname != %[1]q oifname %[1]q accept; drop; }
	chain pre { type nat hook prerouting priority dstnat; ip daddr %[2]v meta l4proto udp dnat to udp dport map @mapped; }
	chain post { type nat hook postrouting priority srcnat; oifname %[1]q snat to %[2]v; }
	%[3]s`, uplink, external, turn)}
}

// Firewall lets nothing in that was not asked for, and changes no address. On
// a host, uplink is its only interface.
func Firewall(uplink string) Rules {
	const neighbours = `icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, nd-router-advert, packet-too-big } accept;`
	return Rules{"inet", "guard", fmt.Sprintf(`
	chain input { type filter hook input priority 0; `+neighbours+` iifname %[1]q ct state != { established, related } drop; }
	chain forward { type filter hook forward priority 0; `+neighbours+` iifname %[1]q ct state != { established, related } drop; }`, uplink)}
}

// OnlyTCP lets a router pass nothing from those behind it but TCP to some ports.
func OnlyTCP(uplink string, ports ...int) Rules {
	set := strings.Join(strings.Fields(strings.Trim(fmt.Sprint(ports), "[]")), ", ")
	return Rules{"inet", "only", fmt.Sprintf(`
	chain forward { type filter hook forward priority -1; oifname %q tcp dport != { %s } drop; oifname %[1]q meta l4proto != tcp drop; }`, uplink, set)}
}

// Silent lets a router pass nothing, without a word.
func Silent() Rules {
	return Rules{"inet", "silent", `
	chain forward { type filter hook forward priority -2; policy drop; }`}
}

// Loss drops this share of what a host hears by an interface.
func Loss(iface string, percent int) Rules {
	return Rules{"inet", "loss", fmt.Sprintf(`
	chain pre { type filter hook prerouting priority raw; iifname %q numgen random mod 100 < %d drop; }`, iface, percent)}
}
