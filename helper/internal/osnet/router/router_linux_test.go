package router_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"

	"kith.internal/helper/internal/netnstest"
	"kith.internal/helper/internal/osnet/router"
	"kith.internal/helper/internal/osnet/router/routertest"
	"kith.internal/helper/internal/osnet/tun"
)

// look reads the interface through ip(8): addresses, routes of the main table
// but the kernel's own for multicast.
func look(t *testing.T, name string) router.Config {
	var links []struct {
		MTU   int
		Flags []string
		Info  []struct {
			Local     string
			Prefixlen int
			Scope     string
			Tentative bool
			Noprefix  bool `json:"noprefixroute"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(netnstest.Sh(t, "ip -json address show dev "+name)), &links); err != nil {
		t.Fatal(err)
	}
	c := router.Config{MTU: links[0].MTU}
	for _, f := range links[0].Flags {
		c.Up = c.Up || f == "UP"
	}
	for _, a := range links[0].Info {
		if a.Local == "" {
			continue
		}
		if a.Tentative || !a.Noprefix {
			t.Errorf("address %+v: want noprefixroute and not tentative", a)
		}
		c.Addrs = append(c.Addrs, netip.PrefixFrom(netip.MustParseAddr(a.Local), a.Prefixlen))
	}
	for _, family := range []string{"-4", "-6"} {
		var routes []struct{ Dst, Dev, Protocol string }
		out := netnstest.Sh(t, "ip -json "+family+" route show table main dev "+name)
		if err := json.Unmarshal([]byte(out), &routes); out != "" && err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, r := range routes {
			if !strings.Contains(r.Dst, "/") {
				r.Dst += map[string]string{"-4": "/32", "-6": "/128"}[family]
			}
			c.Routes = append(c.Routes, netip.MustParsePrefix(r.Dst))
		}
	}
	return c
}

// bed makes a TUN of ours in a fresh namespace.
func bed(t *testing.T, f func(t *testing.T, b routertest.Bed)) {
	netnstest.Run(t, func(t *testing.T) {
		dev, name, index, err := tun.Create("", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		r, err := router.New(name, index)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		f(t, routertest.Bed{
			Router:      r,
			Look:        func() router.Config { return look(t, name) },
			DisableIPv6: func() { netnstest.Sh(t, "sysctl -qw net.ipv6.conf.all.disable_ipv6=1") },
			Delete: func() {
				if err := netlink.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}

func TestNetnsContract(t *testing.T) {
	routertest.Contract(t, func(t *testing.T, part func(*testing.T, routertest.Bed)) { bed(t, part) })
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestNetnsRouteOfAnother(t *testing.T) {
	bed(t, func(t *testing.T, b routertest.Bed) {
		netnstest.Sh(t, `ip link add other type bridge; ip link set other up
			ip route add 100.80.0.0/16 dev other; ip -6 route add fd12::/48 dev other`)
		before := netnstest.Sh(t, "ip route show dev other; ip -6 route show dev other")
		c := router.Config{Addrs: prefixes("100.80.0.1/32"), Routes: prefixes("100.80.0.0/16", "10.9.0.0/16"), Up: true}
		if err := b.Router.Set(c); !errors.Is(err, router.ErrTaken) {
			t.Errorf("got %v, want %v", err, router.ErrTaken)
		}
		if got := b.Look().Routes; len(got) != 1 || got[0] != netip.MustParsePrefix("10.9.0.0/16") {
			t.Errorf("the other route was not set: %v", got)
		}
		if after := netnstest.Sh(t, "ip route show dev other; ip -6 route show dev other"); after != before {
			t.Errorf("another interface's routes changed:\n%s\nbecame\n%s", before, after)
		}
	})
}

func TestNetnsLeavesOthersAlone(t *testing.T) {
	bed(t, func(t *testing.T, b routertest.Bed) {
		const state = `ip -o address; ip route show table all | grep -v kith0; ip rule; ip -6 rule; sysctl -a 2>/dev/null | grep -v kith0 | grep -e '^net.ipv[46].conf'`
		netnstest.Sh(t, "ip link set lo up; ip link add eth0 type veth peer eth1; ip link set eth1 up; ip address add 192.0.2.7/24 dev eth0; ip link set eth0 up; sleep 0.1")
		before := netnstest.Sh(t, state)
		c := router.Config{Addrs: prefixes("100.80.0.1/32", "fd12::1/128"), Routes: prefixes("100.80.0.0/16", "fd12::/48"), MTU: 1420, Up: true}
		if err := b.Router.Set(c); err != nil {
			t.Fatal(err)
		}
		netnstest.Sh(t, "ip route add 198.51.100.0/24 dev kith0")
		if err := b.Router.Set(c); err != nil {
			t.Fatal(err)
		}
		if got := netnstest.Sh(t, "ip route show 198.51.100.0/24"); got == "" {
			t.Error("an administrator's route into our interface was removed")
		}
		if err := b.Router.Set(router.Config{}); err != nil {
			t.Fatal(err)
		}
		// The kernel leaves multicast routes of a link that was up, and renumbers nothing.
		if after := netnstest.Sh(t, state); after != before {
			t.Errorf("the host is not as before:\n%s\nbecame\n%s", before, after)
		}
	})
}

// TestNetnsHeals sets again what somebody else undid.
func TestNetnsHeals(t *testing.T) {
	c := router.Config{
		Addrs:  prefixes("100.80.0.1/32", "fd12::1/128"),
		Routes: prefixes("100.80.0.0/16", "fd12::/48"), MTU: 1420, Up: true,
	}
	for _, harm := range []string{
		"ip link set kith0 down",
		"ip link set kith0 down; ip link set kith0 up",
		"ip address flush dev kith0",
		"ip route flush dev kith0; ip -6 route flush dev kith0",
		"ip link set kith0 mtu 1200", // takes IPv6 off the interface
		"ip address add 10.1.2.3/24 dev kith0 noprefixroute; ip address add fd99::1/64 dev kith0 noprefixroute nodad",
		"sysctl -qw net.ipv6.conf.kith0.disable_ipv6=1; sysctl -qw net.ipv6.conf.kith0.disable_ipv6=0",
	} {
		t.Run(harm, func(t *testing.T) {
			bed(t, func(t *testing.T, b routertest.Bed) {
				if err := b.Router.Set(c); err != nil {
					t.Fatal(err)
				}
				before := b.Look()
				netnstest.Sh(t, harm)
				if err := b.Router.Set(c); err != nil {
					t.Fatal(err)
				}
				opts := cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpopts.SortSlices(func(a, b netip.Prefix) int { return a.Compare(b) })}
				if d := cmp.Diff(before, b.Look(), opts); d != "" {
					t.Errorf("not healed (-want +got):\n%s", d)
				}
			})
		})
	}
}

// TestNetnsTooSmallForIPv6 keeps an MTU that somebody else made too small.
func TestNetnsTooSmallForIPv6(t *testing.T) {
	bed(t, func(t *testing.T, b routertest.Bed) {
		netnstest.Sh(t, "ip link set kith0 mtu 1200")
		c := router.Config{Addrs: prefixes("100.80.0.1/32", "fd12::1/128"), Routes: prefixes("100.80.0.0/16", "fd12::/48"), Up: true}
		if err := b.Router.Set(c); !errors.Is(err, router.ErrNoIPv6) {
			t.Errorf("got %v, want %v", err, router.ErrNoIPv6)
		}
		if got := b.Look(); len(got.Addrs) != 1 || len(got.Routes) != 1 {
			t.Errorf("IPv4 was not set: %+v", got)
		}
	})
}

// BenchmarkSetAgain is what a change of the network costs when nothing of
// ours changed.
func BenchmarkSetAgain(b *testing.B) {
	netnstest.Run(b, func(b *testing.B) {
		dev, name, index, err := tun.Create("", 0)
		if err != nil {
			b.Fatal(err)
		}
		defer dev.Close()
		r, err := router.New(name, index)
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		c := router.Config{Addrs: prefixes("100.80.0.1/32", "fd12::1/128"), Routes: prefixes("100.80.0.0/16", "fd12::/48"), MTU: 1420, Up: true}
		b.ReportAllocs()
		for b.Loop() {
			if err := r.Set(c); err != nil {
				b.Fatal(err)
			}
		}
	})
}
