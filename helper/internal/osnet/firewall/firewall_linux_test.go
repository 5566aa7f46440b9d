package firewall

import (
	"strings"
	"testing"

	"kith.internal/helper/internal/netnstest"
)

// blocks ends them as nft wants it where they share a line.
var blocks = strings.NewReplacer("; } }", "; }; }", "; } chain", "; }; chain")

func TestNetnsBlocked4(t *testing.T) {
	tailscale := "iptables -N ts-input; iptables -I INPUT -j ts-input; iptables -A ts-input -s 100.101.102.103/32 -i lo -j ACCEPT; " +
		"iptables -A ts-input -s 100.115.92.0/23 ! -i tailscale0 -j RETURN; iptables -A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP"
	nft := func(rules string) string { return "nft -f - <<'END'\n" + blocks.Replace(rules) + "\nEND" }
	for _, c := range []struct{ name, setup, want string }{
		{"no rules", "true", ""},
		{"Tailscale by iptables-nft", tailscale, `ip filter ts-input: iifname != "tailscale0" ip saddr 100.64.0.0/10 drop`},
		{"Tailscale by nftables", nft(`table ip filter { chain INPUT { type filter hook input priority filter; policy accept; counter jump ts-input; }
			chain ts-input { ip saddr 100.101.102.103 iifname "lo" accept; ip saddr 100.64.0.0/10 iifname != "tailscale0*" counter drop; } }`),
			`ip filter ts-input: ip saddr 100.64.0.0/10 iifname != "tailscale0*" drop`},
		{"iptables, all ways to say it", "iptables -A INPUT ! -i tailscale+ -s 100.64.0.0/10 -m comment --comment 'not ours' -j REJECT", `ip filter INPUT: iifname != "tailscale*" ip saddr 100.64.0.0/10 drop`},
		{"iptables, another interface", "iptables -A INPUT -i eth+ -s 100.64.0.0/10 -j DROP", ""},
		{"iptables, a match", "iptables -A INPUT -s 100.64.0.0/10 -m conntrack --ctstate INVALID -j DROP; iptables -A INPUT -s 100.64.0.0/10 -p tcp --dport 22 -j DROP", ""},
		{"iptables, raw", "iptables -t raw -A PREROUTING -s 100.64.0.0/10 -j DROP", `ip raw PREROUTING: ip saddr 100.64.0.0/10 drop`},
		{"iptables, output", "iptables -A OUTPUT -d 100.64.0.0/10 ! -o tailscale0 -j DROP", `ip filter OUTPUT: oifname != "tailscale0" ip daddr 100.64.0.0/10 drop`},
		{"iptables, a policy", "iptables -P INPUT DROP; iptables -A INPUT -s 192.168.0.0/16 -j ACCEPT", ""},
		{"iptables, for IPv6", "ip6tables -A INPUT -s fd00::/8 -j DROP", ""},
		{"inet", nft(`table inet f { chain in { type filter hook input priority 0; meta nfproto ipv6 drop; ct state established,related accept; ip saddr 100.64.0.0/10 drop; } }`), `inet f in: ip saddr 100.64.0.0/10 drop`},
		{"an anonymous set", nft(`table inet f { chain in { type filter hook prerouting priority -300; ip saddr { 10.0.0.0/8, 100.64.0.0/10, 192.168.0.0/16 } iifname != { "lo", "eth0" } drop; } }`), `inet f in: ip saddr @__set0 iifname != @__set1 drop`},
		{"a set of interfaces with ours", nft(`table inet f { chain in { type filter hook input priority 0; ip saddr 100.64.0.0/10 iifname != { "lo", "kith0" } drop; } }`), ""},
		{"a named set", nft(`table inet f { set bogons { type ipv4_addr; flags interval; elements = { 100.64.0.0/10, 224.0.0.0/3 }; }
			chain in { type filter hook input priority 0; ip saddr @bogons drop; } }`), `inet f in: ip saddr @bogons drop`},
		{"a named set to the end", nft(`table inet f { set high { type ipv4_addr; flags interval; elements = { 100.0.0.0-255.255.255.255 }; }
			chain in { type filter hook input priority 0; ip saddr @high drop; } }`), `inet f in: ip saddr @high drop`},
		{"neighbours in a set", nft(`table inet f { set s { type ipv4_addr; flags interval; elements = { 100.79.0.0/16, 100.81.0.0/16 }; }
			chain in { type filter hook input priority 0; ip saddr @s drop; ip saddr != @s accept; ip saddr 100.64.0.0/10 drop; } }`), ""},
		{"a set of single addresses", nft(`table inet f { set s { type ipv4_addr; elements = { 100.80.0.1, 100.80.0.2 }; } chain in { type filter hook input priority 0; ip saddr @s drop; } }`), ""},
		{"a set of addresses and interfaces", nft(`table inet f { set s { type ipv4_addr . ifname; flags interval; elements = { 100.64.0.0/10 . "kith0" }; } chain in { type filter hook input priority 0; ip saddr . iifname @s drop; } }`), ""},
		{"a verdict map", nft(`table inet f { chain in { type filter hook input priority 0; ip saddr vmap { 100.64.0.0/10 : drop }; } }`), ""},
		{"a range", nft(`table ip f { chain in { type filter hook input priority 0; ip saddr 100.64.0.0-100.127.255.255 drop; } }`), `ip f in: ip saddr >= 100.64.0.0 ip saddr <= 100.127.255.255 drop`},
		{"a byte", nft(`table ip f { chain in { type filter hook input priority 0; ip saddr 100.0.0.0/8 drop; } }`), `ip f in: ip saddr 100.0.0.0/8 drop`},
		{"all but ours by index", `ip tuntap add dev kith0 mode tun; nft 'table ip f { chain in { type filter hook input priority 0; ip saddr 100.64.0.0/10 iif != "kith0" drop; }; }'`, ""},
		{"all but lo by index", `ip tuntap add dev kith0 mode tun; nft 'table ip f { chain in { type filter hook input priority 0; ip saddr 100.64.0.0/10 iif != "lo" drop; }; }'`, `ip f in: ip saddr 100.64.0.0/10 iif != 1 drop`},
		{"what the library does not know", nft(`table inet f { chain in { type filter hook input priority 0; ip saddr 100.64.0.0/10 socket transparent != 1 drop; ip saddr 100.64.0.0/10 rt nexthop != 10.0.0.1 drop; ip saddr 100.64.0.0/10 numgen random mod 2 0 drop; } }`), ""},
		{"a limit", nft(`table inet f { chain in { type filter hook input priority 0; ip saddr 100.64.0.0/10 limit rate over 10/second drop; } }`), ""},
		{"the network device's own hook", `ip tuntap add dev kith0 mode tun; nft 'table netdev f { chain in { type filter hook ingress device kith0 priority 0; ip saddr 100.64.0.0/10 drop; }; }'`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			netnstest.Run(t, func(t *testing.T) {
				netnstest.Sh(t, c.setup)
				rule, blocked, err := Blocked4(network, "kith0")
				if err != nil || rule != c.want || blocked != (c.want != "") {
					t.Errorf("got %q, %t, %v, want %q\n%s", rule, blocked, err, c.want, netnstest.Sh(t, "nft --debug=netlink list ruleset"))
				}
			})
		})
	}
}

func TestNotIPv4(t *testing.T) {
	if _, _, err := Blocked4(addr6, "kith0"); err == nil {
		t.Error("an IPv6 range was judged")
	}
}
