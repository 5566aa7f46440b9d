package router

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestPlan(t *testing.T) {
	fresh := state{mtu: 1500}
	set := Config{
		Addrs:  prefixes("100.80.0.1/32", "fd12::1/128"),
		Routes: prefixes("fd12::/48", "100.80.9.9/16", "100.80.0.0/16"),
		MTU:    1420, Up: true,
	}
	for _, c := range []struct {
		name string
		have state
		want Config
		ops  []string
	}{
		{"nothing of nothing", state{}, Config{}, nil},
		{"the first time", fresh, set, []string{
			"set MTU 1420", "set up",
			"add address 100.80.0.1/32", "add address fd12::1/128",
			"add route 100.80.0.0/16", "add route fd12::/48",
		}},
		{"the second time", set.state(), set, nil},
		{"undo", set.state(), Config{}, []string{
			"delete route 100.80.0.0/16", "delete route fd12::/48",
			"delete address 100.80.0.1/32", "delete address fd12::1/128",
			"set down",
		}},
		{"the next address comes before the last one goes", set.state(),
			Config{Addrs: prefixes("100.80.0.2/32", "fd12::1/128"), Routes: set.Routes, Up: true},
			[]string{"add address 100.80.0.2/32", "delete address 100.80.0.1/32"}},
		{"another prefix length", set.state(),
			Config{Addrs: prefixes("100.80.0.1/16", "fd12::1/128"), Routes: set.Routes, Up: true},
			[]string{"delete address 100.80.0.1/32", "add address 100.80.0.1/16"}},
		{"a link-local address that was there", state{addrs: prefixes("fe80::1/64"), up: true},
			Config{Up: true}, []string{"delete address fe80::1/64"}},
		{"one route for another", set.state(),
			Config{Addrs: set.Addrs, Routes: prefixes("10.0.0.0/8", "fd12::/48"), Up: true},
			[]string{"delete route 100.80.0.0/16", "add route 10.0.0.0/8"}},
		{"somebody set it down", func() state { s := set.state(); s.up, s.routes = false, nil; return s }(), set,
			[]string{"set up", "add route 100.80.0.0/16", "add route fd12::/48"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, o := range plan(c.have, c.want.state()) {
				got = append(got, o.String())
			}
			if d := cmp.Diff(c.ops, got); d != "" {
				t.Errorf("plan (-want +got):\n%s", d)
			}
		})
	}
}
