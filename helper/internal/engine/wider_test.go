package engine

import (
	"net/netip"
	"testing"

	"kith.internal/helper/internal/key"
)

func TestYields(t *testing.T) {
	a, b := key.Public{1}, key.Public{2}
	works, fresh := via{key: a, online: true}, via{key: a, online: true, fresh: true}
	silent, sought, lost := via{key: a, online: true, silent: true}, via{key: a}, via{key: a, lost: true}
	wider, heard := via{key: b, online: true}, via{key: b, online: true, fresh: true}
	type is struct{ yes, ask bool }
	for _, c := range []struct {
		name     string
		v, wider via
		kept     is // where it was not left before
		left     is // where it was
	}{
		{"works", works, wider, is{}, is{true, true}},
		{"works, as it has just said", fresh, wider, is{}, is{false, true}},
		{"works, the wider one does not", works, via{key: b}, is{}, is{false, true}},
		{"silent", silent, wider, is{false, true}, is{true, true}},
		{"silent, the wider one is heard", silent, heard, is{true, true}, is{true, true}},
		{"both silent", silent, via{key: b, online: true, silent: true}, is{false, true}, is{false, true}},
		{"no path yet", sought, heard, is{false, true}, is{true, true}},
		{"lost", lost, wider, is{true, true}, is{true, true}},
		{"both lost", lost, via{key: b, lost: true}, is{false, true}, is{false, true}},
		{"one router of both", lost, lost, is{}, is{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, before := range []bool{false, true} {
				want := c.kept
				if before {
					want = c.left
				}
				if yes, ask := yields(before, c.v, c.wider); (is{yes, ask}) != want {
					t.Errorf("left before %v: left %v, asked %v", before, yes, ask)
				}
			}
		})
	}
}

func TestNarrowest(t *testing.T) {
	pre := netip.MustParsePrefix
	ways := []way{{prefix: pre("10.0.0.0/8")}, {prefix: pre("10.1.0.0/16")}, {prefix: pre("fd00::/16")}}
	for p, want := range map[string]string{
		"10.1.2.0/24": "10.1.0.0/16", "10.2.0.0/24": "10.0.0.0/8", "10.1.0.0/16": "10.0.0.0/8",
		"10.0.0.0/8": "", "fd00:1::/32": "fd00::/16", "192.168.0.0/16": "",
	} {
		got := ""
		if w := narrowest(ways, pre(p)); w != nil {
			got = w.prefix.String()
		}
		if got != want {
			t.Errorf("%s lies in %q, not %q", p, got, want)
		}
	}
}
