package netmon_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/osnet/netmon"
)

func TestGateways(t *testing.T) {
	down := up(4, "eth2")
	down.Up = false
	ifaces := []netmon.Interface{up(2, "eth0"), up(3, "wlan0"), down}
	route := func(prefix string, index int, gateway string, metric, table int) netmon.Route {
		r := netmon.Route{Prefix: netip.MustParsePrefix(prefix), Index: index, Metric: metric, Table: table}
		if gateway != "" {
			r.Gateway = netip.MustParseAddr(gateway)
		}
		return r
	}
	scoped := route("0.0.0.0/0", 2, "192.0.2.8", 0, 0)
	scoped.Scoped = true
	got := netmon.Gateways(ifaces, []netmon.Route{
		route("0.0.0.0/0", 3, "198.51.100.1", 600, 254),
		scoped,
		route("0.0.0.0/0", 2, "192.0.2.9", 200, 254),
		route("0.0.0.0/0", 2, "192.0.2.1", 100, 254),
		route("::/0", 2, "fe80::1", 1024, 254),
		route("0.0.0.0/0", 2, "192.0.2.7", 1, 52),       // a table of somebody's own
		route("0.0.0.0/0", 3, "", 1, 254),               // on-link
		route("203.0.113.0/24", 3, "192.0.2.5", 0, 254), // no default route
		route("0.0.0.0/0", 4, "192.0.2.6", 0, 254),
		route("0.0.0.0/0", 9, "192.0.2.6", 0, 254),
	})
	want := []netmon.Gateway{
		{Index: 2, Addr: netip.MustParseAddr("192.0.2.1"), Metric: 100},
		{Index: 3, Addr: netip.MustParseAddr("198.51.100.1"), Metric: 600},
		{Index: 2, Addr: netip.MustParseAddr("fe80::1"), Metric: 1024},
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Error(d)
	}
	only := netmon.Gateways(ifaces, []netmon.Route{scoped})
	if len(only) != 1 || only[0].Addr != scoped.Gateway {
		t.Errorf("a scoped route alone: %v", only)
	}
}
