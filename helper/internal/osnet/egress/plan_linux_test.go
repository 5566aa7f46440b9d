package egress

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// TestPlan holds what would be set against golden files.
func TestPlan(t *testing.T) {
	own := []Interface{{"kith0", 7, prefixes("100.80.0.0/16", "fd12::/48")}, {"kith1", 8, prefixes("fd13::/48")}}
	host := around{
		insides: []inside{{"docker0", prefixes("172.17.0.0/16")}},
		bridges: []string{"br0", "docker0"},
	}
	exit := Config{Own: own, Exit: true, TUN: "kith0", Index: 7, V4: true, V6: true, Block: true}
	lan := exit
	lan.AllowLAN = prefixes("192.168.1.0/24", "fd99:1::/64")
	lan.Routes = []Route{
		{netip.MustParsePrefix("192.168.0.0/16"), 8},   // the LAN is within
		{netip.MustParsePrefix("192.168.1.128/25"), 8}, // it would take half of the LAN
		{netip.MustParsePrefix("192.168.1.0/24"), 8},
		{netip.MustParsePrefix("10.7.1.1/16"), 8},
	}
	connecting := Config{Own: own, Exit: true, Block: true}
	only6 := exit
	only6.V4 = false
	portal := exit
	portal.Portal = true
	for name, c := range map[string]Config{
		"zero":       {Own: own},
		"routes":     {Own: own, Routes: []Route{{netip.MustParsePrefix("10.7.0.0/16"), 7}, {netip.MustParsePrefix("fd77::/64"), 8}}},
		"exit":       exit,
		"connecting": connecting,
		"only-ipv6":  only6,
		"lan":        lan,
		"portal":     portal,
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.Validate(); err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			for _, r := range c.rules() {
				fmt.Fprintln(&b, r)
			}
			for _, r := range c.routes(host) {
				fmt.Fprintln(&b, r)
			}
			if table, on := c.guard(host); on {
				b.WriteString(table.String())
			}
			golden(t, name+".golden", b.String())
			filters, err := c.wfp()
			if err != nil {
				t.Fatal(err)
			}
			if !c.Block {
				if rules := c.pf(); rules != "" || len(filters) > 0 {
					t.Errorf("a guard without a block: %s %s", rules, filters)
				}
				return
			}
			golden(t, name+".pf", c.pf())
			b.Reset()
			for _, f := range filters {
				fmt.Fprintln(&b, f)
			}
			golden(t, name+".wfp", b.String())
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]Config{
		"a block without an exit": {Block: true},
		"a TUN without an index":  {Exit: true, TUN: "kith0"},
		"a quoted name":           {Own: []Interface{{Name: `x"`, Index: 1}}},
		"a route for everything":  {Routes: []Route{{netip.MustParsePrefix("0.0.0.0/0"), 1}}},
		"a route to nowhere":      {Routes: []Route{{netip.MustParsePrefix("10.0.0.0/8"), 0}}},
		"the internet as LAN":     {Exit: true, AllowLAN: prefixes("::/0")},
		"loopback as LAN":         {Exit: true, AllowLAN: prefixes("127.0.0.0/8")},
		"a mapped prefix":         {Exit: true, AllowLAN: prefixes("::ffff:10.0.0.0/104")},
		"no prefix":               {Exit: true, AllowLAN: []netip.Prefix{{}}},
	} {
		if err := c.Validate(); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v, want %v", name, err, ErrConfig)
		}
	}
}
