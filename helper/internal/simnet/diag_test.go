package simnet

import (
	"strings"
	"testing"
	"time"

	"kith.internal/helper/internal/wire/udp/udptest"
	"kith.internal/ipc"
)

// TestNetworkCheck: what kith diag says of the network in several places, a
// minute after a device joined there.
func TestNetworkCheck(t *testing.T) {
	deaf := udptest.Carrier
	deaf.Hairpin = false
	carrier := func(kind udptest.NAT) func(n *Net) *Host {
		return func(n *Net) *Host { return n.Host("a", n.Site("carrier", Uplink{NAT: &kind}).LAN) }
	}
	const ok, fail, na = "ok", "fail", "does not apply"
	type says struct {
		code    ipc.CheckCode
		verdict string
		words   string
	}
	for _, c := range []struct {
		name string
		a    func(n *Net) *Host
		want []says
	}{
		{"public", func(n *Net) *Host { return n.Server("a") }, []says{
			{ipc.CheckUDP, ok, "datagrams come back"},
			{ipc.CheckIPv4, ok, "this host has an address"},
			{ipc.CheckIPv6, ok, "this host has an address"},
			{ipc.CheckNAT, ok, "IPv4: none"},
			{ipc.CheckHairpin, na, "not needed"},
			{ipc.CheckRelays, ok, "s (UDP 20."},
			{ipc.CheckCaptive, ok, "none"},
			{ipc.CheckHonest, ok, "kept"},
		}},
		{"NAT with hairpin", carrier(udptest.Carrier), []says{
			{ipc.CheckUDP, ok, "datagrams come back"},
			{ipc.CheckIPv4, ok, "others see this device at 198.18."},
			{ipc.CheckIPv6, na, "no address here"},
			{ipc.CheckNAT, ok, "one port for all peers"},
			{ipc.CheckHairpin, ok, "works"},
		}},
		{"NAT without", carrier(deaf), []says{
			{ipc.CheckNAT, ok, "one port for all peers"},
			{ipc.CheckHairpin, na, "not seen"},
		}},
		{"symmetric NAT", behind("a", udptest.Symmetric), []says{
			{ipc.CheckNAT, fail, "another port for each peer"},
			{ipc.CheckPortMap, fail, "no router was found to ask"},
			{ipc.CheckRelays, ok, "s (UDP 20."},
		}},
		{"IPv6 alone", func(n *Net) *Host { return n.Host("a", n.Site("six", Uplink{IPv6: true, Firewall: true}).LAN) }, []says{
			{ipc.CheckUDP, ok, "datagrams come back"},
			{ipc.CheckIPv4, na, "no address here"},
			{ipc.CheckIPv6, ok, "this host has an address"},
			{ipc.CheckNAT, ok, "IPv6: none"},
		}},
		{"TCP alone", func(n *Net) *Host { return filtered(n, "a", 443) }, []says{
			{ipc.CheckUDP, fail, "relays answer over TLS alone"},
			{ipc.CheckRelays, ok, "s (TLS "},
			{ipc.CheckCaptive, ok, "none"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			row(t, func(t *testing.T, n *Net) {
				s, a := n.Server("s"), c.a(n)
				relayed(t, s, a)
				time.Sleep(time.Minute)
				for _, want := range c.want {
					got := a.check(want.code)
					verdict := ok
					switch {
					case !got.OK:
						verdict = fail
					case got.NA:
						verdict = na
					}
					if verdict != want.verdict || !strings.Contains(got.Detail, want.words) {
						t.Errorf("%s: %s, %q, want %s, %q", want.code, verdict, got.Detail, want.verdict, want.words)
					}
				}
			})
		})
	}
}
