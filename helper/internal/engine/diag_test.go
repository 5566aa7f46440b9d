package engine

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/relay"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

// TestOutlook: what the network check says, and that what does not apply reads
// neither as passed nor as failed.
func TestOutlook(t *testing.T) {
	s := key.Public{1}
	at := netip.MustParseAddrPort("203.0.113.7:4711")
	seen := []netip.AddrPort{at}
	behind := func(k wire.NAT) wire.FamilyReport {
		return wire.FamilyReport{Has: true, NAT: k, Observed: seen}
	}
	gateway := Gateway{Interface: "eth0", Addr: netip.MustParseAddr("10.0.0.1")}
	with := func(change func(g *Gateway)) []Gateway {
		g := gateway
		change(&g)
		return []Gateway{g}
	}
	failed := func(step relay.Step, err error) []probed {
		return []probed{{
			name: "s", id: s, err: &relay.Error{Step: step, Addr: "203.0.113.1:443", Err: err},
			other: step == relay.StepKey || step == relay.StepTLS, key: step == relay.StepKey,
		}}
	}
	over := func(udp, tls time.Duration, why string) wire.NetReport {
		return wire.NetReport{UDP: udp > 0, Relays: []wire.RelayReport{{ID: s, Kept: true, UDP: udp, TLS: tls, Error: why}}}
	}
	complaint := func(c wire.Complaint) wire.NetReport { return wire.NetReport{Complaints: []wire.Complaint{c}} }
	const ok, fail, na = "ok", "FAIL", "-"
	tests := []struct {
		name    string
		o       outlook
		code    ipc.CheckCode
		verdict string
		detail  string
	}{
		{"UDP", outlook{report: over(20*time.Millisecond, 0, ""), members: 1, reached: 1}, ipc.CheckUDP, ok, "datagrams come back"},
		{"no UDP", outlook{report: over(0, 20*time.Millisecond, ""), members: 1, reached: 1}, ipc.CheckUDP, fail, "relays answer over TLS alone"},
		{"silence", outlook{members: 1}, ipc.CheckUDP, fail, "no datagram has come back yet"},
		{"alone", outlook{}, ipc.CheckUDP, na, "there is nobody to try it with"},

		{"IPv4 seen", outlook{report: wire.NetReport{IPv4: behind(wire.NATEasy)}}, ipc.CheckIPv4, ok, "others see this device at 203.0.113.7:4711"},
		{"IPv4 unseen", outlook{report: wire.NetReport{IPv4: wire.FamilyReport{Has: true}}}, ipc.CheckIPv4, ok, "this host has an address"},
		{"IPv4 alone", outlook{report: wire.NetReport{IPv4: behind(wire.NATEasy)}}, ipc.CheckIPv6, na, "no address here"},
		{"IPv6 alone", outlook{report: wire.NetReport{IPv6: wire.FamilyReport{Has: true}}}, ipc.CheckIPv4, na, "no address here"},
		{"no family", outlook{}, ipc.CheckIPv6, fail, "no address here"},

		{"no NAT", outlook{report: wire.NetReport{IPv4: behind(wire.NATNone)}}, ipc.CheckNAT, ok, "IPv4: none, IPv6: no address"},
		{"easy NAT", outlook{report: wire.NetReport{IPv4: behind(wire.NATEasy)}}, ipc.CheckNAT, ok, "IPv4: one port for all peers (easy), IPv6: no address"},
		{"hard NAT", outlook{report: wire.NetReport{IPv4: behind(wire.NATHard)}}, ipc.CheckNAT, fail, "IPv4: another port for each peer (symmetric), IPv6: no address"},
		{"hard NAT, mapped", outlook{report: wire.NetReport{IPv4: behind(wire.NATHard), Mapped: seen}}, ipc.CheckNAT, ok, "IPv4: another port for each peer (symmetric), IPv6: no address"},
		{"unknown NAT", outlook{report: wire.NetReport{IPv4: behind(wire.NATUnknown)}}, ipc.CheckNAT, na, "IPv4: not known yet, IPv6: no address"},

		{"mapped", outlook{
			report:   wire.NetReport{IPv4: behind(wire.NATEasy), Mapped: seen},
			gateways: with(func(g *Gateway) { g.Method, g.Mapped = "PCP", seen }),
		}, ipc.CheckPortMap, ok, "10.0.0.1 on eth0: PCP gives 203.0.113.7:4711"},
		{"mapping refused", outlook{
			report:   wire.NetReport{IPv4: behind(wire.NATEasy)},
			gateways: with(func(g *Gateway) { g.Why, g.Complaints = "NAT-PMP: not authorised", []string{"answers from elsewhere"} }),
		}, ipc.CheckPortMap, fail, "10.0.0.1 on eth0: NAT-PMP: not authorised (answers from elsewhere)"},
		{"mapped privately", outlook{
			report:   wire.NetReport{IPv4: behind(wire.NATEasy), Mapped: seen},
			gateways: with(func(g *Gateway) { g.Method, g.Mapped = "PCP", []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:99")} }),
		}, ipc.CheckPortMap, ok, "10.0.0.1 on eth0: PCP gives 10.9.9.9:99, a private address: there is another NAT, or it is none of the router's"},
		{"mapping needed", outlook{
			report:   wire.NetReport{IPv4: behind(wire.NATHard)},
			gateways: with(func(g *Gateway) { g.Why = "no answer" }),
		}, ipc.CheckPortMap, fail, "10.0.0.1 on eth0: no answer"},
		{"no gateway", outlook{report: wire.NetReport{IPv4: behind(wire.NATEasy)}}, ipc.CheckPortMap, na, "no router was found to ask"},
		{"gateway asked", outlook{gateways: with(func(*Gateway) {})}, ipc.CheckPortMap, na, "10.0.0.1 on eth0: asking"},
		{"mapping not needed", outlook{report: wire.NetReport{IPv4: behind(wire.NATNone)}}, ipc.CheckPortMap, na, "not needed: no NAT"},

		{"hairpin", outlook{report: wire.NetReport{IPv4: behind(wire.NATEasy), Hairpin: true}}, ipc.CheckHairpin, ok, "works"},
		{"no hairpin", outlook{report: wire.NetReport{IPv4: behind(wire.NATEasy)}}, ipc.CheckHairpin, na, "not seen: two devices behind one router may need another way"},
		{"hairpin not needed", outlook{report: wire.NetReport{IPv4: behind(wire.NATNone)}}, ipc.CheckHairpin, na, "not needed: no NAT"},

		{"relay", outlook{report: over(20*time.Millisecond, 0, ""), found: []probed{{name: "s", id: s, took: 31 * time.Millisecond}}}, ipc.CheckRelays, ok, "s (UDP 20.0 ms, TLS connects in 31 ms, kept)"},
		{"relay over TLS", outlook{report: over(0, 25*time.Millisecond, "")}, ipc.CheckRelays, ok, "s (TLS 25.0 ms, kept)"},
		{"relay just known", outlook{found: []probed{{name: "s", id: s, took: 31 * time.Millisecond}}}, ipc.CheckRelays, ok, "s (TLS connects in 31 ms)"},
		{"relay that stalls", outlook{
			report: over(0, 0, "it takes what is sent and answers nothing"), found: []probed{{name: "s", id: s, took: 31 * time.Millisecond}},
		}, ipc.CheckRelays, fail, "s (TLS connects in 31 ms, but it takes what is sent and answers nothing, kept)"},
		{"relay not tried", outlook{report: over(0, 0, "")}, ipc.CheckRelays, fail, "s (no answer, kept)"},
		{"no name", outlook{found: failed(relay.StepName, errors.New("no such host"))}, ipc.CheckRelays, fail, "s (TLS: 203.0.113.1:443: name: no such host)"},
		{"no TCP", outlook{found: failed(relay.StepTCP, errors.New("refused"))}, ipc.CheckRelays, fail, "s (TLS: 203.0.113.1:443: tcp: refused)"},
		{"proxy", outlook{found: failed(relay.StepProxy, relay.ErrProxyAuth)}, ipc.CheckRelays, fail, "s (TLS: 203.0.113.1:443: proxy: the proxy wants a user's name and password (407))"},
		{"no TLS", outlook{found: failed(relay.StepTLS, errors.New("EOF"))}, ipc.CheckRelays, fail, "s (TLS: 203.0.113.1:443: tls: EOF)"},
		{"other key", outlook{found: failed(relay.StepKey, &relay.KeyError{Issuer: "Hotel"})}, ipc.CheckRelays, fail, `s (TLS: 203.0.113.1:443: key: another key than the relay's was presented, by "Hotel")`},
		{"unknown to it", outlook{found: failed(relay.StepUpgrade, relay.ErrNotFound)}, ipc.CheckRelays, fail, "s (TLS: 203.0.113.1:443: upgrade: the relay answered 404: it does not know this device)"},
		{"no relays", outlook{network: "home"}, ipc.CheckRelays, na, "there are no other relays in home"},

		{"no portal", outlook{found: []probed{{name: "s", id: s, took: time.Millisecond}}}, ipc.CheckCaptive, ok, "none: who answers for the relays is them"},
		{"portal by the system", outlook{portal: "NetworkManager"}, ipc.CheckCaptive, fail, "noticed by NetworkManager"},
		{"portal", outlook{found: failed(relay.StepKey, &relay.KeyError{})}, ipc.CheckCaptive, fail, "somebody else answers for the relays"},
		{"portal without TLS", outlook{found: failed(relay.StepTLS, errors.New("EOF"))}, ipc.CheckCaptive, fail, "somebody else answers for the relays"},
		{"other key, UDP passes", outlook{
			report: over(20*time.Millisecond, 0, ""), found: failed(relay.StepKey, &relay.KeyError{}),
		}, ipc.CheckCaptive, ok, "none: who answers for the relays is them"},
		{"nobody answers", outlook{found: failed(relay.StepTCP, errors.New("refused"))}, ipc.CheckCaptive, na, "nobody answers for the relays"},
		{"nothing to try", outlook{}, ipc.CheckCaptive, na, "there is no relay to try it with"},

		{"honest", outlook{}, ipc.CheckHonest, ok, "kept"},
		{"drops", outlook{report: complaint(wire.Complaint{ID: s, What: wire.DropsPackets})}, ipc.CheckHonest, fail, "s drops packets"},
		{"one of two drops", outlook{report: complaint(wire.Complaint{ID: s, Way: []key.Public{s, s}, What: wire.OneDrops})}, ipc.CheckHonest, fail, "one of those on a way drops packets: s, then s"},
		{"lies", outlook{report: complaint(wire.Complaint{ID: s, What: wire.LiesOnAddress})}, ipc.CheckHonest, fail, "s lies on our address"},
		{"stalls", outlook{report: complaint(wire.Complaint{ID: s, What: wire.AnswersNothing})}, ipc.CheckHonest, fail, "s takes what is sent and answers nothing"},
		{"server lies", outlook{report: complaint(wire.Complaint{Server: at, What: wire.LiesOnAddress})}, ipc.CheckHonest, fail, "the STUN server 203.0.113.7:4711 lies on our address"},
		{"nothing kept out", outlook{}, ipc.CheckKeptOut, ok, "none"},
		{"kept out", outlook{
			report: wire.NetReport{Drops: map[string]uint64{"limited": 7, "strangers": 12, "read errors": 1}}, removed: []string{"phone"},
		}, ipc.CheckKeptOut, ok, "12 by strangers, 7 beyond the rate, phone calls, which was removed"},
		{"another key", outlook{found: failed(relay.StepKey, &relay.KeyError{})}, ipc.CheckHonest, fail, "who answers for s has another key than it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.name = func(id key.Public) string { return map[key.Public]string{s: "s"}[id] }
			for _, c := range tt.o.checks() {
				if c.NA && (!c.OK || c.Fix != "") || !c.OK && c.Fix == "" || c.Text == "" {
					t.Errorf("%+v", c)
				}
				if c.Code != tt.code {
					continue
				}
				verdict := ok
				switch {
				case !c.OK:
					verdict = fail
				case c.NA:
					verdict = na
				}
				if verdict != tt.verdict || c.Detail != tt.detail {
					t.Errorf("%s %q, want %s %q", verdict, c.Detail, tt.verdict, tt.detail)
				}
			}
		})
	}
}
