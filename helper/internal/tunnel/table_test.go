package tunnel

import (
	"net/netip"
	"testing"

	"kith.internal/helper/internal/key"
)

func TestTableFindsTheNearest(t *testing.T) {
	tab := table{addrs: map[netip.Addr]*session{}}
	sessions := map[string]*session{}
	for name, p := range map[string]Peer{
		"nas":    {Addrs: []netip.Addr{netip.MustParseAddr("100.70.0.2")}},
		"router": {Addrs: []netip.Addr{netip.MustParseAddr("100.70.0.3")}, Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("10.0.0.0/8")}},
		"other":  {Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		"exit":   {Prefixes: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1"), netip.MustParsePrefix("2000::/3")}},
	} {
		p.ID = key.New().Public()
		sessions[name] = &session{Peer: p}
		tab.add(sessions[name])
	}
	for dst, want := range map[string]string{
		"100.70.0.2": "nas", "100.70.0.3": "router", "192.168.7.9": "router", "192.168.8.9": "exit",
		"10.2.0.1": "router", "10.1.2.3": "other", "2001:db8::1": "exit", "fd00::1": "",
	} {
		if got := tab.find(netip.MustParseAddr(dst)); got != sessions[want] {
			t.Errorf("%s: %v, want %q", dst, got, want)
		}
	}
}
