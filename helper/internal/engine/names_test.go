package engine

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRespell(t *testing.T) {
	for name, want := range map[string]string{
		"nas.home.internal":      "nas.home-2.internal",
		"home.internal":          "home-2.internal",
		"*.x.home.internal":      "*.x.home-2.internal",
		"evilhome.internal":      "evilhome.internal",
		"nas.home.internal.com":  "nas.home.internal.com",
		"nas.work.internal":      "nas.work.internal",
		"nas.home.example":       "nas.home.example",
		"home.internal.internal": "home.internal.internal",
	} {
		if got := respell(name, "home", "home-2"); got != want {
			t.Errorf("%s becomes %s, want %s", name, got, want)
		}
	}
}

func TestResolvers(t *testing.T) {
	got := resolvers([]string{"192.0.2.1", "192.0.2.1:5353", "2001:db8::1", "[2001:db8::1]:54", "example.com", "192.0.2.1:x"})
	want := []netip.AddrPort{
		netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("192.0.2.1:5353"),
		netip.MustParseAddrPort("[2001:db8::1]:53"), netip.MustParseAddrPort("[2001:db8::1]:54"),
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.AddrPort{})); d != "" {
		t.Error(d)
	}
}
