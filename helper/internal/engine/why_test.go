package engine

import (
	"net/netip"
	"testing"
	"time"

	"kith.internal/helper/internal/replica"
	"kith.internal/helper/internal/wire"
	"kith.internal/ipc"
)

func TestWhyNotDirect(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	v4, v6 := netip.MustParseAddrPort("203.0.113.7:41641"), netip.MustParseAddrPort("[2001:db8::7]:41641")
	both := wire.NetReport{UDP: true, IPv4: wire.FamilyReport{Has: true, NAT: wire.NATEasy}, IPv6: wire.FamilyReport{Has: true}}
	hard := both
	hard.IPv4.NAT = wire.NATHard
	old6 := hard
	old6.IPv6.NAT = wire.NATNone
	only4 := wire.NetReport{UDP: true, IPv4: wire.FamilyReport{Has: true, NAT: wire.NATEasy}}
	tls := wire.NetReport{IPv4: wire.FamilyReport{Has: true}, Relays: []wire.RelayReport{{TLS: time.Millisecond}}}
	relayed := func(since time.Duration) wire.PeerStatus {
		return wire.PeerStatus{Path: wire.Path{Kind: wire.Relayed, Since: now.Add(-since)}, Reason: wire.Confirmed, Candidates: []netip.AddrPort{v4, v6}}
	}
	long := relayed(time.Minute)
	at := func(p wire.PeerStatus, c ...netip.AddrPort) wire.PeerStatus { p.Candidates = c; return p }
	tests := []struct {
		name  string
		peer  wire.PeerStatus
		net   wire.NetReport
		there replica.NAT
		want  ipc.WhyNot
	}{
		{"direct", wire.PeerStatus{Path: wire.Path{Kind: wire.Direct}}, both, 0, ""},
		{"lan", wire.PeerStatus{Path: wire.Path{Kind: wire.LAN}}, both, 0, ""},
		{"idle", wire.PeerStatus{}, both, 0, ipc.WhyIdle},
		{"no answer at all", wire.PeerStatus{Reason: wire.Silent, Candidates: []netip.AddrPort{v4}}, both, 0, ipc.WhySilent},
		{"no candidates", wire.PeerStatus{Reason: wire.NoCandidates}, both, 0, ipc.WhyNoAddress},
		{"just now", relayed(time.Second), both, replica.NATHard, ipc.WhyTrying},
		{"a firewall", long, both, replica.NATEasy, ipc.WhySilent},
		{"hard here", long, hard, replica.NATEasy, ipc.WhyHardNAT},
		{"hard there", long, both, replica.NATHard, ipc.WhyHardThere},
		{"hard on both sides", long, hard, replica.NATHard, ipc.WhyHardBoth},
		{"hard for IPv4 alone", long, old6, replica.NATEasy, ipc.WhySilent},
		{"no UDP here", long, tls, replica.NATHard, ipc.WhyNoUDP},
		{"no UDP there", long, hard, replica.NATBlocked, ipc.WhyNoUDPThere},
		{"IPv4 here, IPv6 there", at(long, v6), only4, 0, ipc.WhyNoFamily},
	}
	for _, tt := range tests {
		if got := (situation{tt.peer, tt.net, tt.there, now}).why(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
