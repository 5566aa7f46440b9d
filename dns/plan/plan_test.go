package plan

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/dns"
)

var update = flag.Bool("update", false, "write the golden files")

func zones(t *testing.T, names ...string) *dns.Zones {
	t.Helper()
	var list []*dns.Zone
	for i, n := range names {
		p4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(101 + i), 0, 0}), 16)
		p6 := netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, byte(i + 1)}), 48)
		z, _, err := dns.NewZone(n, []netip.Prefix{p4, p6}, nil)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, z)
	}
	zs, err := dns.NewZones(list...)
	if err != nil {
		t.Fatal(err)
	}
	return zs
}

// TestPlanGolden runs every combination of what may differ.
func TestPlanGolden(t *testing.T) {
	stub := []netip.Addr{netip.MustParseAddr("100.101.0.1"), netip.MustParseAddr("fd01::1")}
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + "." + strings.Repeat("c", 60) + ".example"
	nets := map[string]*dns.Zones{
		"none": nil, "one": zones(t, "home"), "two": zones(t, "home", "work"),
		"seven": zones(t, "a1", "a2", "a3", "a4", "a5", "a6", "a7"),
	}
	stubs := map[string][]netip.Addr{"none": nil, "v6": stub[1:], "both": stub, "four": append(stub, stub...)}
	searches := map[string][]string{
		"none": nil, "corp": {"corp.example", "HOME.internal"}, "long": {long, "b.example"}, "bad": {"a\nnameserver 6.6.6.6", ".", "x y"},
	}
	oses := map[string]Abilities{
		"plain": PlainFile, "split": {Split: true}, "unlimited": {},
		"resolved": Resolved, "windows": Windows, "darwin": Darwin, "small": {Split: true, MaxMatch: 3},
	}
	further := map[string][]string{
		"": nil, " domains": {"Corp.Example.", "www.corp.example", "nas.home.internal", "a b", "lab.example", "lab.example"},
	}
	var lines []string
	for n, z := range nets {
		for s, addrs := range stubs {
			for b, search := range searches {
				for o, able := range oses {
					for _, all := range []bool{false, true} {
						for f, domains := range further {
							name := "net=" + n + " stub=" + s + " search=" + b + " os=" + o + f
							if all {
								name += " all"
							}
							p := Make(Input{Zones: z, Stub: addrs, BaseSearch: search, TakeAll: all, Domains: domains}, able)
							lines = append(lines, fmt.Sprintf("%s: servers %v search %q match %q dropped %q", name, p.OS.Nameservers, p.OS.Search, p.OS.Match, p.Dropped))
						}
					}
				}
			}
		}
	}
	slices.Sort(lines)
	data := strings.Join(lines, "\n") + "\n"
	golden := filepath.Join("testdata", "plan.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), data); d != "" {
		t.Error(d)
	}
}

func TestPlan(t *testing.T) {
	v4, v6 := netip.MustParseAddr("100.101.0.1"), netip.MustParseAddr("fd01::1")
	two := zones(t, "home", "work")
	tests := []struct {
		name string
		in   Input
		os   Abilities
		want Plan
	}{
		{"no network asks for nothing", Input{Stub: []netip.Addr{v4}, BaseSearch: []string{"corp.example"}}, PlainFile, Plan{}},
		{"a stub that does not answer is not named", Input{Zones: two}, PlainFile, Plan{}},
		{"a plain file gets the stub alone, our domains first", Input{Zones: two, Stub: []netip.Addr{v4, v6}, BaseSearch: []string{"corp.example"}}, PlainFile,
			Plan{OS: OSConfig{Nameservers: []netip.Addr{v4, v6}, Search: []string{"home.internal", "work.internal", "corp.example"}}}},
		{"an OS that can split gets our domains, never internal itself", Input{Zones: two, Stub: []netip.Addr{v4}, BaseSearch: []string{"corp.example"}}, Abilities{Split: true},
			Plan{OS: OSConfig{Nameservers: []netip.Addr{v4}, Search: []string{"home.internal", "work.internal"}, Match: []string{
				"home.internal", "work.internal", "101.100.in-addr.arpa", "0.0.0.0.0.0.0.0.1.0.d.f.ip6.arpa", "102.100.in-addr.arpa", "0.0.0.0.0.0.0.0.2.0.d.f.ip6.arpa"}}}},
		{"further domains, once each, none below another", Input{Zones: zones(t, "home"), Stub: []netip.Addr{v4}, Domains: []string{"Corp.example.", "a.corp.example", "nas.home.internal"}}, Abilities{Split: true},
			Plan{OS: OSConfig{Nameservers: []netip.Addr{v4}, Search: []string{"home.internal"}, Match: []string{"home.internal", "corp.example", "101.100.in-addr.arpa", "0.0.0.0.0.0.0.0.1.0.d.f.ip6.arpa"}}}},
		{"names of addresses are left out first", Input{Zones: zones(t, "home"), Stub: []netip.Addr{v4}, Domains: []string{"corp.example"}}, Abilities{Split: true, MaxMatch: 2},
			Plan{OS: OSConfig{Nameservers: []netip.Addr{v4}, Search: []string{"home.internal"}, Match: []string{"home.internal", "corp.example"}}}},
		{"with more domains than the OS takes all names come", Input{Zones: zones(t, "home"), Stub: []netip.Addr{v4}, Domains: []string{"corp.example"}}, Abilities{Split: true, MaxMatch: 1},
			Plan{OS: OSConfig{Nameservers: []netip.Addr{v4}, Search: []string{"home.internal"}}}},
		{"search domains beyond the limit are told", Input{Zones: two, Stub: []netip.Addr{v4}, BaseSearch: []string{"a", "b", "c", "d", "e", "f"}}, PlainFile,
			Plan{OS: OSConfig{Nameservers: []netip.Addr{v4}, Search: []string{"home.internal", "work.internal", "a", "b", "c", "d"}}, Dropped: []string{"e", "f"}}},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, Make(tt.in, tt.os), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
	if !(OSConfig{}).IsZero() || !tests[2].want.OS.Equal(tests[2].want.OS) || tests[2].want.OS.Equal(tests[3].want.OS) {
		t.Error("IsZero or Equal is wrong")
	}
}

// TestDomains: names outside our zones come to the stub where the OS can send
// them, and all do where they are too many for it.
func TestDomains(t *testing.T) {
	in := Input{Zones: zones(t, "home"), Stub: []netip.Addr{netip.MustParseAddr("100.101.0.1")}, Domains: []string{"corp.example", "www.example.com", "corp.example", "a\nb"}}
	able := Abilities{Split: true, MaxMatch: 5}
	want := []string{"home.internal", "corp.example", "www.example.com", "101.100.in-addr.arpa", "0.0.0.0.0.0.0.0.1.0.d.f.ip6.arpa"}
	if d := cmp.Diff(want, Make(in, able).OS.Match); d != "" {
		t.Error(d)
	}
	able.MaxMatch = 2
	if got := Make(in, able).OS; got.Match != nil || len(got.Nameservers) == 0 {
		t.Errorf("too many domains: %+v", got)
	}
	if got := Make(in, PlainFile).OS.Match; got != nil {
		t.Errorf("an OS that cannot split: %v", got)
	}
}
