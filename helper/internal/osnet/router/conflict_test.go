package router

import (
	"net/netip"
	"testing"

	"kith.internal/helper/internal/osnet/netmon"
)

func TestConflict4(t *testing.T) {
	network := netip.MustParsePrefix("100.80.0.0/16")
	eth := netmon.Interface{Index: 2, Name: "eth0", Up: true, Prefixes: prefixes("192.0.2.7/24", "2001:db8::7/64")}
	wg := netmon.Interface{Index: 3, Name: "wg0", Prefixes: prefixes("10.7.0.1/32")}
	route := func(p string, index int) netmon.Route {
		return netmon.Route{Prefix: netip.MustParsePrefix(p), Index: index}
	}
	on := func(i netmon.Interface, p string) netmon.Interface {
		i.Prefixes = append(prefixes(p), i.Prefixes...)
		return i
	}
	for _, c := range []struct {
		name   string
		ifaces []netmon.Interface
		routes []netmon.Route
		with   string
	}{
		{"an ordinary host", []netmon.Interface{eth, wg}, []netmon.Route{route("0.0.0.0/0", 2), route("192.0.2.0/24", 2), route("::/0", 2)}, ""},
		{"our own interface", []netmon.Interface{eth, {Index: 9, Name: "kith0", Prefixes: prefixes("100.80.0.1/32")}}, []netmon.Route{route("100.80.0.0/16", 9)}, ""},
		{"a connected range around it", []netmon.Interface{on(eth, "100.80.3.4/10")}, nil, "100.64.0.0/10 on eth0"},
		{"a connected range inside it", []netmon.Interface{on(eth, "100.80.3.4/24")}, nil, "100.80.3.0/24 on eth0"},
		{"a range beside it", []netmon.Interface{on(eth, "100.81.3.4/16")}, nil, ""},
		{"an interface that is down", []netmon.Interface{on(wg, "100.80.3.4/24")}, nil, "100.80.3.0/24 on wg0"},
		{"another VPN's route", []netmon.Interface{eth, wg}, []netmon.Route{route("100.64.0.0/10", 3)}, "route 100.64.0.0/10 into wg0"},
		{"another VPN's peer", []netmon.Interface{eth, wg}, []netmon.Route{{Prefix: netip.MustParsePrefix("100.80.9.9/32"), Index: 3, Table: 52}}, "route 100.80.9.9/32 into wg0"},
		{"a VPN that takes all", []netmon.Interface{eth, wg}, []netmon.Route{route("0.0.0.0/1", 3), route("128.0.0.0/1", 3)}, ""},
		{"a VPN that takes all but the private ranges", []netmon.Interface{eth, wg}, []netmon.Route{route("64.0.0.0/2", 3)}, ""},
		{"a route into an interface nobody knows", nil, []netmon.Route{route("100.0.0.0/8", 7)}, "route 100.0.0.0/8 into interface 7"},
		{"a route that leads nowhere", nil, []netmon.Route{route("100.64.0.0/10", 0)}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			with, conflict := Conflict4(network, c.ifaces, c.routes, func(i int) bool { return i == 9 })
			if with != c.with || conflict != (c.with != "") {
				t.Errorf("got %q, %t, want %q", with, conflict, c.with)
			}
		})
	}
}
