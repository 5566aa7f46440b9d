package engine

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/roster"
	"kith.internal/ipc"
)

func TestParseListen(t *testing.T) {
	tests := []struct{ in, addr, ip string }{
		{"", ":443", ""},
		{"8443", ":8443", ""},
		{":8443", ":8443", ""},
		{"0.0.0.0:8443", ":8443", ""},
		{"[::]:8443", ":8443", ""},
		{"203.0.113.7:443", "203.0.113.7:443", "203.0.113.7"},
		{"[2001:db8::7]:443", "[2001:db8::7]:443", "2001:db8::7"},
		{"[::ffff:203.0.113.7]:443", "203.0.113.7:443", "203.0.113.7"},
		{"127.0.0.1:443", "127.0.0.1:443", "127.0.0.1"},
		{"0", "", ""},
		{"65536", "", ""},
		{"vps.example:443", "", ""},
		{"203.0.113.7", "", ""},
		{"[fe80::1%1]:443", "", ""},
		{"224.0.0.1:443", "", ""},
		{":", "", ""},
		{"-1", "", ""},
	}
	for _, tt := range tests {
		addr, ip, port, err := parseListen(tt.in)
		if tt.addr == "" {
			if ipc.CodeOf(err) != ipc.CodeUsage {
				t.Errorf("%q: %q, %v", tt.in, addr, err)
			}
			continue
		}
		got := ""
		if ip.IsValid() {
			got = ip.String()
		}
		if err != nil || addr != tt.addr || got != tt.ip || port == 0 {
			t.Errorf("%q: %q, %q, %d, %v; want %q, %q", tt.in, addr, got, port, err, tt.addr, tt.ip)
		}
	}
}

func TestParseAdvertise(t *testing.T) {
	tests := []struct {
		in, name, addr string
		port           uint16
	}{
		{"vps.example", "vps.example", "", 443},
		{"VPS.example.:8443", "vps.example", "", 8443},
		{"203.0.113.7", "", "203.0.113.7", 443},
		{"203.0.113.7:8443", "", "203.0.113.7", 8443},
		{"10.0.0.1:8443", "", "10.0.0.1", 8443}, // someone may mean it
		{"2001:db8::7", "", "2001:db8::7", 443},
		{"[2001:db8::7]", "", "2001:db8::7", 443},
		{"[2001:db8::7]:8443", "", "2001:db8::7", 8443},
		{"vps.example:0", "", "", 0},
		{"vps.example:https", "", "", 0},
		{"vps example", "", "", 0},
		{"vps.example/x", "", "", 0},
		{":443", "", "", 0},
		{"127.0.0.1", "", "", 0},
		{"0.0.0.0:443", "", "", 0},
		{"fe80::1%eth0", "", "", 0},
		{strings.Repeat("a", 300), "", "", 0},
	}
	for _, tt := range tests {
		name, a, port, err := parseAdvertise(tt.in, 443)
		if tt.port == 0 {
			if ipc.CodeOf(err) != ipc.CodeUsage {
				t.Errorf("%q: %q, %v, %v", tt.in, name, a, err)
			}
			continue
		}
		got := ""
		if a.IsValid() {
			got = a.String()
		}
		if err != nil || name != tt.name || got != tt.addr || port != tt.port {
			t.Errorf("%q: %q, %q, %d, %v", tt.in, name, got, port, err)
		}
	}
}

func TestRelayInfo(t *testing.T) {
	prefix := netip.MustParsePrefix
	ifaces := []netmon.Interface{
		{Index: 1, Up: true, Loopback: true, Prefixes: []netip.Prefix{prefix("127.0.0.1/8"), prefix("2001:db8::99/128")}},
		{Index: 2, Up: true, Prefixes: []netip.Prefix{
			prefix("203.0.113.7/24"), prefix("10.0.0.7/24"), prefix("100.99.0.7/16"), prefix("169.254.0.7/16"),
			prefix("2001:db8::7/64"), prefix("fe80::7/64"), prefix("fd00::7/64"),
		}},
		{Index: 3, Prefixes: []netip.Prefix{prefix("203.0.113.8/24")}},
	}
	addr := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	tests := []struct {
		name   string
		host   string
		named  []netip.Addr
		port   uint16
		listen netip.Addr
		want   string
	}{
		{"its own", "", nil, 443, netip.Addr{}, "203.0.113.7:443 [2001:db8::7]:443"},
		{"one of its own", "", nil, 443, addr("203.0.113.7"), "203.0.113.7:443"},
		{"a name, and its own", "vps.example", []netip.Addr{addr("203.0.113.9")}, 8443, netip.Addr{}, "vps.example:8443 203.0.113.9:8443 203.0.113.7:443 [2001:db8::7]:443"},
		{"a name that leads to its own", "vps.example", []netip.Addr{addr("203.0.113.7")}, 443, addr("203.0.113.7"), "vps.example:443 203.0.113.7:443"},
		{"a name of this very host, as /etc/hosts has it", "vps", []netip.Addr{addr("127.0.1.1")}, 443, addr("203.0.113.7"), "vps:443 203.0.113.7:443"},
		{"behind a NAT that lets a port in", "", []netip.Addr{addr("198.51.100.1")}, 8443, addr("10.0.0.7"), "198.51.100.1:8443"},
		{"nothing", "", nil, 443, addr("10.0.0.7"), ""},
	}
	for _, tt := range tests {
		r := relayInfo(tt.host, tt.named, tt.port, publicAddrs(ifaces, tt.listen), 443, [32]byte{1})
		if d := cmp.Diff(tt.want, strings.Join(advertised(&r), " ")); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
		if _, err := r.Encode(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestSameRelay(t *testing.T) {
	a, b := netip.MustParseAddrPort("203.0.113.7:443"), netip.MustParseAddrPort("[2001:db8::7]:443")
	x := &roster.RelayInfo{Host: "vps", Addrs: []netip.AddrPort{a, b}}
	tests := []struct {
		y    *roster.RelayInfo
		same bool
	}{
		{&roster.RelayInfo{Host: "vps", Addrs: []netip.AddrPort{b, a}}, true},
		{&roster.RelayInfo{Host: "vps", Addrs: []netip.AddrPort{a}}, false},
		{&roster.RelayInfo{Host: "vpn", Addrs: []netip.AddrPort{a, b}}, false},
		{&roster.RelayInfo{Host: "vps", Addrs: []netip.AddrPort{a, b}, Pin: [32]byte{1}}, false},
		{nil, false},
	}
	for i, tt := range tests {
		if sameRelay(x, tt.y) != tt.same || sameRelay(tt.y, x) != tt.same {
			t.Errorf("%d: want %v", i, tt.same)
		}
	}
	if !sameRelay(nil, nil) {
		t.Error("none is not none")
	}
}
