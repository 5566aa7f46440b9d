package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func set(name, rtype string, values ...string) RecordSet { return RecordSet{name, rtype, values} }

// withRecords is the test's zones, the first with records that its roster has
// under the name "haus".
func withRecords(t testing.TB, sets ...RecordSet) (*Zones, []RecordRefusal) {
	t.Helper()
	zs := testZones(t)
	z, refused := zs.All()[0].WithRecords("haus", sets)
	out, err := NewZones(z, zs.All()[1])
	if err != nil {
		t.Fatal(err)
	}
	return out, refused
}

func TestRecordsLookup(t *testing.T) {
	zs, refused := withRecords(t,
		set("www.example.com", "A", "192.0.2.1", "192.0.2.2"),
		set("www.example.com", "AAAA", "2001:db8::1"),
		set("*.apps.example.com", Device, "laptop"),
		set("a.b.apps.example.com", "TXT", "deep"),
		set("git.haus.internal", "CNAME", "laptop.haus.internal"),
		set("*.laptop.haus.internal", "CNAME", "laptop.haus.internal"),
		set("x.y.haus.internal", "A", "192.0.2.9"),
		set("*.haus.internal", "A", "192.0.2.10"),
		set("haus.internal", "TXT", "the network"),
		set("_ssh._tcp.haus.internal", "SRV", "1 2 22 laptop.haus.internal"),
		set("example.com", "MX", "10 mail.example.com"),
		set("*.lan", "A", "192.0.2.20"),
		set("both.example.com", Device, "laptop"),
		set("both.example.com", "A", "192.0.2.3"),
		set("gone.example.com", Device, "stolen"),
		set("none.example.com", Device),
	)
	if refused != nil {
		t.Fatal(refused)
	}
	lan := &Custom{V4: []netip.Addr{ip("192.0.2.20")}}
	laptop := &Custom{V4: []netip.Addr{ip("100.101.0.1")}, V6: []netip.Addr{ip("fd12:3456:789a::1")}}
	anyHome := &Custom{V4: []netip.Addr{ip("192.0.2.10")}}
	over := func(origin string, c *Custom) Answer {
		return Answer{Verdict: Exists, Origin: origin, Custom: c, Override: true}
	}
	home := func(c *Custom) Answer { return Answer{Verdict: Exists, Origin: "home.internal.", Custom: c} }
	missing := Answer{Verdict: Missing, Origin: "home.internal."}
	tests := map[string]Answer{
		"www.example.com.":             over("www.example.com.", &Custom{V4: []netip.Addr{ip("192.0.2.1"), ip("192.0.2.2")}, V6: []netip.Addr{ip("2001:db8::1")}}),
		"x.www.example.com.":           {},
		"other.example.com.":           {},
		"apps.example.com.":            {},
		"x.apps.example.com.":          over("apps.example.com.", laptop),
		"x.y.apps.example.com.":        over("apps.example.com.", laptop),
		"b.apps.example.com.":          {}, // exists by the name below it
		"x.b.apps.example.com.":        {}, // and hides the wildcard (RFC 4592 §2.2.3)
		"a.b.apps.example.com.":        over("a.b.apps.example.com.", &Custom{TXT: []string{"deep"}}),
		`a\.b.apps.example.com.`:       over("apps.example.com.", laptop),
		"com.":                         {},
		"example.com.":                 over("example.com.", &Custom{MX: []MX{{10, "mail.example.com."}}}),
		"nas.lan.":                     over("lan.", lan),
		"both.example.com.":            over("both.example.com.", &Custom{V4: []netip.Addr{ip("192.0.2.3"), ip("100.101.0.1")}, V6: laptop.V6}),
		"gone.example.com.":            over("gone.example.com.", &Custom{}),
		"none.example.com.":            over("none.example.com.", &Custom{}),
		"git.home.internal.":           home(&Custom{CNAME: "laptop.home.internal."}),
		"git.haus.internal.":           {}, // not what the network is called here
		"git.":                         {Verdict: Exists, Origin: "home.internal.", Custom: &Custom{CNAME: "laptop.home.internal."}, Short: true},
		"www.laptop.home.internal.":    home(&Custom{CNAME: "laptop.home.internal."}),
		"www.phone.home.internal.":     missing, // phone exists, and has no wildcard
		"laptop.home.internal.":        {Verdict: Exists, Origin: "home.internal.", Host: &Host{"laptop", ip("100.101.0.1"), ip("fd12:3456:789a::1")}},
		"y.home.internal.":             home(nil),
		"z.y.home.internal.":           missing,
		"nobody.home.internal.":        home(anyHome),
		"a.b.home.internal.":           home(anyHome),
		"wpad.home.internal.":          missing,
		"wpad.":                        {},
		"nobody.":                      {},
		"home.internal.":               {Verdict: Exists, Origin: "home.internal.", Apex: true, Custom: &Custom{TXT: []string{"the network"}}},
		"_ssh._tcp.home.internal.":     home(&Custom{SRV: []SRV{{1, 2, 22, "laptop.home.internal."}}}),
		"_tcp.home.internal.":          home(nil),
		"nobody.work.internal.":        {Verdict: Missing, Origin: "work.internal."},
		"metadata.google.internal.":    {},
		"x.home.internal.example.com.": {},
	}
	for name, want := range tests {
		got := zs.Lookup(name)
		if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Custom{}), cmpopts.IgnoreFields(Custom{}, "Whole"), cmpopts.EquateComparable(netip.Addr{})); d != "" {
			t.Errorf("Lookup(%q): %s", name, d)
		}
	}
	for name, want := range map[string]bool{"www.example.com.": true, "git.home.internal.": true, "gone.example.com.": true, "none.example.com.": true, "example.com.": false, "a.b.apps.example.com.": false} {
		if zs.Lookup(name).Custom.Whole != want {
			t.Errorf("%s stands in for all: %v", name, !want)
		}
	}
	if d := cmp.Diff([]string{"example.com", "lan"}, zs.Domains()); d != "" {
		t.Error(d)
	}
}

func TestRecordsRefused(t *testing.T) {
	long := strings.Repeat("a", 63) + "."
	tests := map[string]struct {
		set RecordSet
		why string
	}{
		"public suffix":           {set("co.uk", "A", "192.0.2.1"), "public suffix"},
		"wildcard of a suffix":    {set("*.com", "A", "192.0.2.1"), "public suffix"},
		"wildcard of github.io":   {set("*.github.io", "A", "192.0.2.1"), "public suffix"},
		"internal":                {set("*.internal", "A", "192.0.2.1"), "not in this network's zone"},
		"another network's zone":  {set("nas.work.internal", "A", "192.0.2.1"), "not in this network's zone"},
		"google's metadata":       {set("metadata.google.internal", "A", "192.0.2.1"), "not in this network's zone"},
		"a device's name":         {set("laptop.haus.internal", "A", "192.0.2.1"), "a device's"},
		"wpad":                    {set("wpad.haus.internal", "A", "192.0.2.1"), "a meaning of its own"},
		"localhost":               {set("a.localhost", "A", "192.0.2.1"), "a meaning of their own"},
		"itself":                  {set("a.example.com", "CNAME", "a.example.com"), "itself"},
		"itself by a wildcard":    {set("*.example.com", "CNAME", "a.example.com"), "itself"},
		"apex CNAME":              {set("haus.internal", "CNAME", "a.example.com"), "apex"},
		"two CNAMEs":              {set("a.example.com", "CNAME", "b.example.com", "c.example.com"), "more than one"},
		"an empty label":          {set("a..example.com", "A", "192.0.2.1"), "empty"},
		"no name":                 {set("", "A", "192.0.2.1"), "0 bytes"},
		"a star inside":           {set("a.*.example.com", "A", "192.0.2.1"), "byte other than"},
		"a long label":            {set(strings.Repeat("a", 64)+".example.com", "A", "192.0.2.1"), "64 bytes"},
		"300 octets":              {set(strings.Repeat("a.", 145)+"example.com", "A", "192.0.2.1"), "bytes, not 1 to"},
		"long by its alias":       {set(long+long+long+strings.Repeat("b", 47)+".haus.internal", "A", "192.0.2.1"), ""},
		"a line feed":             {set("a\n.example.com", "A", "192.0.2.1"), "byte other than"},
		"upper case":              {set("A.example.com", "A", "192.0.2.1"), "byte other than"},
		"IDN":                     {set("xn--pple-43d.example.com", "A", "192.0.2.1"), "reserved form"},
		"an address of the other": {set("a.example.com", "A", "2001:db8::1"), "not an address"},
		"a mapped address":        {set("a.example.com", "AAAA", "::ffff:192.0.2.1"), "not an address"},
		"no device's name":        {set("a.example.com", Device, "Bad name"), "no name of a device"},
		"no SRV":                  {set("a.example.com", "SRV", "1 2 a.example.com"), "not PRIORITY"},
		"an SRV's port":           {set("a.example.com", "SRV", "1 2 65536 a.example.com"), "0 to 65535"},
		"an SRV at an address":    {set("a.example.com", "SRV", "1 2 3 192.0.2.1"), "an address where"},
		"no MX":                   {set("a.example.com", "MX", "a.example.com"), "not PREFERENCE"},
		"an MX to itself's star":  {set("a.example.com", "MX", "1 *.example.com"), "byte other than"},
		"a long text":             {set("a.example.com", "TXT", strings.Repeat("a", 1025)), "1025 bytes"},
		"no type":                 {set("a.example.com", "SPF", "x"), "no record type"},
		"no values":               {set("a.example.com", "A"), "no value"},
	}
	for name, tt := range tests {
		zs, refused := withRecords(t, tt.set, set("stays.example.com", "A", "192.0.2.7"))
		if zs.Lookup("stays.example.com.").Verdict != Exists {
			t.Errorf("%s: the record beside it is gone", name)
		}
		if tt.why == "" {
			if refused != nil {
				t.Errorf("%s: %v", name, refused)
			}
			continue
		}
		if len(refused) != 1 || !strings.Contains(refused[0].Error(), tt.why) || !cmp.Equal(refused[0].Set, tt.set) {
			t.Errorf("%s: refused %v, want one that says %q", name, refused, tt.why)
		}
	}
}

func TestRecordsRefusedTogether(t *testing.T) {
	var huge []string
	for i := range 40 {
		huge = append(huge, fmt.Sprint(i, strings.Repeat("a", 1000)))
	}
	chain := []RecordSet{set("end.example.com", "A", "192.0.2.1")}
	for i := range maxChain + 3 {
		next := "end.example.com"
		if i > 0 {
			next = fmt.Sprintf("c%d.example.com", i-1)
		}
		chain = append(chain, set(fmt.Sprintf("c%d.example.com", i), "CNAME", next))
	}
	tests := map[string]struct {
		sets []RecordSet
		want []string
	}{
		"a ring": {[]RecordSet{
			set("a.example.com", "CNAME", "b.example.com"), set("b.example.com", "CNAME", "c.example.com"),
			set("c.example.com", "CNAME", "a.example.com"), set("into.example.com", "CNAME", "a.example.com"), set("d.example.com", "CNAME", "www.example.org"),
		}, []string{"a.example.com", "b.example.com", "c.example.com", "into.example.com"}},
		"beside a CNAME":  {[]RecordSet{set("a.example.com", "CNAME", "b.example.com"), set("a.example.com", "A", "192.0.2.1")}, []string{"a.example.com", "a.example.com"}},
		"too much":        {[]RecordSet{set("a.example.com", "TXT", huge...)}, []string{"a.example.com"}},
		"a chain":         {chain[:maxChain+1], nil},
		"too long chains": {chain, []string{"c10.example.com", "c8.example.com", "c9.example.com"}},
	}
	for name, tt := range tests {
		_, refused := withRecords(t, tt.sets...)
		var got []string
		for _, r := range refused {
			got = append(got, r.Set.Name)
		}
		slices.Sort(got)
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestValidSuffix(t *testing.T) {
	for s, want := range map[string]bool{
		".": true, "corp.example.com": true, "example.com": true, "corp": true, "lan": true, "consul": true, "home.arpa": true,
		"10.in-addr.arpa": true, "work.internal": true,
		"google.internal": false, "metadata.google.internal": false, "agoogle.internal": true,
		"com": false, "co.uk": false, "github.io": false, "in-addr.arpa": false, "arpa": false, "internal": false, "": false,
		"onion": false, "a..b": false, "Corp.example": false, "a\nb.example": false,
	} {
		if err := ValidSuffix(s); (err == nil) != want {
			t.Errorf("ValidSuffix(%q) = %v", s, err)
		}
	}
}

func manySets(n int) []RecordSet {
	var sets []RecordSet
	for i := range n {
		switch name := fmt.Sprintf("h%d.s%d.example.com", i, i%100); i % 4 {
		case 0:
			sets = append(sets, set(name, "A", fmt.Sprintf("10.%d.%d.1", i>>8, i&255)))
		case 1:
			sets = append(sets, set(name, "CNAME", fmt.Sprintf("h%d.s%d.example.com", i-1, (i-1)%100)))
		case 2:
			sets = append(sets, set(name, "TXT", "text"))
		case 3:
			sets = append(sets, set("*."+name, Device, "laptop"))
		}
	}
	return sets
}

// TestManyRecords: all that a roster can hold builds, and look-ups take no
// longer. The bound is for what grows with the square; the benchmark measures.
func TestManyRecords(t *testing.T) {
	start := time.Now()
	zs, refused := withRecords(t, manySets(10000)...)
	if took := time.Since(start); refused != nil || took > time.Minute {
		t.Fatalf("10,000 sets take %v; refused %v", took, refused)
	}
	for _, name := range []string{"h4.s4.example.com.", "x.y.h3.s3.example.com.", "www.example.org.", "nobody.home.internal."} {
		if n := testing.AllocsPerRun(100, func() { zs.Lookup(name) }); n != 0 {
			t.Errorf("%v allocations to look up %s", n, name)
		}
	}
}

func BenchmarkRecords(b *testing.B) {
	sets := manySets(10000)
	b.Run("build", func(b *testing.B) {
		for b.Loop() {
			withRecords(b, sets...)
		}
	})
	zs, _ := withRecords(b, sets...)
	for _, name := range []string{"h4.s4.example.com.", "x.y.h3.s3.example.com.", "www.example.org."} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				zs.Lookup(name)
			}
		})
	}
}

// FuzzRecords feeds sets as a roster could have them, two a line.
func FuzzRecords(f *testing.F) {
	f.Add("a.example.com", "A", "192.0.2.1", "*.example.com", "CNAME", "a.example.com")
	f.Add("x.haus.internal", "SRV", "1 2 3 a.b", "*.x.haus.internal", Device, "laptop")
	f.Add("a.b", "CNAME", "b.a", "b.a", "CNAME", "a.b")
	f.Add("co.uk", "TXT", `a\"b`, "a.co.uk", "MX", "10 b.co.uk")
	base := testZones(f).All()[0]
	f.Fuzz(func(t *testing.T, n1, t1, v1, n2, t2, v2 string) {
		z, refused := base.WithRecords("haus", []RecordSet{set(n1, t1, v1), set(n2, t2, v2)})
		zs, err := NewZones(z)
		if err != nil {
			t.Fatal(err)
		}
		kept := 2 - len(refused)
		for _, n := range z.tree {
			for _, c := range []*Custom{n.own, n.wild} {
				if c != nil && c.CNAME != "" && (len(c.V4)+len(c.V6)+len(c.TXT)+len(c.SRV)+len(c.MX) > 0 || ValidDomain(c.CNAME) != nil) {
					t.Errorf("a CNAME of %+v", c)
				}
			}
		}
		for _, name := range []string{n1, n2} {
			a := zs.Lookup(strings.Replace(name, "haus", "home", 1) + ".")
			hops := 0
			for a.Custom != nil && a.Custom.CNAME != "" {
				if hops++; hops > maxChain {
					t.Fatalf("%q goes round", name)
				}
				a = zs.Lookup(a.Custom.CNAME)
			}
		}
		for _, d := range zs.Domains() {
			if ValidDomain(d) != nil || kept == 0 {
				t.Errorf("domain %q", d)
			}
		}
		if a := zs.Lookup("laptop.home.internal."); a.Host == nil {
			t.Error("a device's name is gone")
		}
	})
}
