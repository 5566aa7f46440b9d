package netmon_test

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"kith.internal/helper/internal/osnet/netmon"
	"kith.internal/helper/internal/osnet/netmon/netmontest"
)

func TestContractOfFake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		eth0 := netmon.Interface{Index: 2, Name: "eth0", MTU: 1500}
		h := netmontest.New(up(1, "lo"), eth0)
		var routes []netmon.Route
		set := func() {
			s := netmon.State{Interfaces: []netmon.Interface{up(1, "lo"), eth0}}
			if len(routes) > 0 && eth0.Up {
				s.Default4 = 2
			}
			h.Set(s, routes...)
		}
		netmontest.Contract(t, netmontest.Bed{
			Watcher: netmon.Watch(h),
			Plug:    func() { eth0.Up = true; set() },
			Unplug:  func() { eth0.Up = false; set() },
			Flap:    h.Flap,
			Address: func() {
				eth0.Prefixes = []netip.Prefix{netip.MustParsePrefix("192.0.2.7/24")}
				routes = append(routes, netmon.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Index: 2, Gateway: netip.MustParseAddr("192.0.2.1")})
				set()
			},
			Route: func() {
				routes = append(routes, netmon.Route{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Index: 2, Gateway: netip.MustParseAddr("192.0.2.2")})
				set()
			},
			Delete: func() { h.Set(netmon.State{Interfaces: []netmon.Interface{up(1, "lo")}}) },
		})
	})
}
