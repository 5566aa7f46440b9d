package dns

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidHost(t *testing.T) {
	for _, s := range []string{"a", "laptop", "my-laptop-2", "7", strings.Repeat("a", 63)} {
		if err := ValidHost(s); err != nil {
			t.Errorf("ValidHost(%q) = %v, want nil", s, err)
		}
	}
	for _, s := range []string{
		"", "-1", "a-", "A", "a.b", "a_b", "a b", "a\nnameserver 6.6.6.6", "a\x00", "xn--80ak6aa92e", "аpple", "ab--c",
		strings.Repeat("a", 64), strings.Repeat("a", 300), "wpad", "isatap", "localhost",
	} {
		if ValidHost(s) == nil {
			t.Errorf("ValidHost(%q) = nil, want an error", s)
		}
	}
}

func TestValidNetworkRefusesOthersZones(t *testing.T) {
	for _, s := range strings.Fields("google docker ec2 compute c kubernetes containers lima orb") {
		if ValidNetwork(s) == nil {
			t.Errorf("ValidNetwork(%q) = nil, want an error", s)
		}
	}
	if err := ValidNetwork("home"); err != nil {
		t.Errorf("ValidNetwork(home) = %v", err)
	}
}

func TestValidDomain(t *testing.T) {
	for s, want := range map[string]bool{
		"corp.example": true, "corp.example.": true, "_tcp.a": true, "A.b": true,
		"": false, ".": false, "a..b": false, "a b": false, "a\nb": false, "-a.b": false, strings.Repeat("a.", 130): false,
	} {
		if got := ValidDomain(s) == nil; got != want {
			t.Errorf("ValidDomain(%q) valid = %v, want %v", s, got, want)
		}
	}
}

var (
	home4 = netip.MustParsePrefix("100.101.0.0/16")
	home6 = netip.MustParsePrefix("fd12:3456:789a::/48")
	work4 = netip.MustParsePrefix("100.102.0.0/16")
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func testZones(t testing.TB) *Zones {
	t.Helper()
	home, refused, err := NewZone("home", []netip.Prefix{home4, home6}, []Host{
		{"laptop", ip("100.101.0.1"), ip("fd12:3456:789a::1")},
		{"phone", netip.Addr{}, ip("fd12:3456:789a::2")},
	})
	if err != nil || refused != nil {
		t.Fatal(err, refused)
	}
	work, refused, err := NewZone("work", []netip.Prefix{work4}, []Host{
		{"laptop", ip("100.102.0.9"), netip.Addr{}}, {"desk", ip("100.102.0.2"), netip.Addr{}},
	})
	if err != nil || refused != nil {
		t.Fatal(err, refused)
	}
	zs, err := NewZones(home, work)
	if err != nil {
		t.Fatal(err)
	}
	return zs
}

func TestNewZoneRefuses(t *testing.T) {
	hosts := []Host{
		{"a", ip("100.101.0.1"), ip("fd12:3456:789a::1")},
		{"Bad.name", ip("100.101.0.2"), netip.Addr{}},
		{"a", ip("100.101.0.3"), netip.Addr{}},                     // name taken
		{"b", ip("100.101.0.1"), ip("fd12:3456:789a::4")},          // address taken
		{"c", ip("192.168.1.1"), ip("fd12:3456:789a::5")},          // not the overlay's
		{"d", ip("fd12:3456:789a::6"), ip("100.101.0.6")},          // families swapped
		{"e", ip("::ffff:100.101.0.7"), ip("fd12:3456:789a::7%x")}, // mapped is taken, a scope is not
	}
	z, refused, err := NewZone("home", []netip.Prefix{home4, home6}, hosts)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range refused {
		got = append(got, r.Host.Name)
	}
	if d := cmp.Diff([]string{"Bad.name", "a", "b", "c", "d", "d", "e"}, got); d != "" {
		t.Error(d)
	}
	if h, ok := z.Host("b"); !ok || h.V4.IsValid() || h.V6 != ip("fd12:3456:789a::4") {
		t.Errorf("host b = %v, %v; want its IPv6 address alone", h, ok)
	}
	if h, _ := z.Host("e"); h.V4 != ip("100.101.0.7") {
		t.Errorf("host e = %v", h)
	}
	for _, bad := range []string{"c", "-x", ""} {
		if _, _, err := NewZone(bad, nil, nil); err == nil {
			t.Errorf("NewZone(%q) took a bad network name", bad)
		}
	}
	if _, err := NewZones(z, z); err == nil {
		t.Error("NewZones took two zones of one name")
	}
}

func TestLookup(t *testing.T) {
	zs := testZones(t)
	type want struct {
		v      Verdict
		origin string
		apex   bool
		short  bool
		host   string
		ptr    string
	}
	const rev4, rev6 = "101.100.in-addr.arpa.", "a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa."
	tests := map[string]want{
		"laptop.home.internal.":              {v: Exists, origin: "home.internal.", host: "laptop"},
		"laptop.work.internal.":              {v: Exists, origin: "work.internal.", host: "laptop"},
		"home.internal.":                     {v: Exists, origin: "home.internal.", apex: true},
		"nobody.home.internal.":              {v: Missing, origin: "home.internal."},
		"a.laptop.home.internal.":            {v: Missing, origin: "home.internal."},
		"x.other.internal.":                  {},
		"internal.":                          {},
		`laptop\.home.internal.`:             {}, // one label with a dot in it
		`laptop\\.home.internal.`:            {v: Missing, origin: "home.internal."},
		"laptop.home.internal.corp.example.": {},
		"homeinternal.":                      {},
		"example.com.":                       {},
		".":                                  {},
		"":                                   {},
		"laptop.":                            {v: Exists, origin: "home.internal.", short: true, host: "laptop"},
		"desk.":                              {v: Exists, origin: "work.internal.", short: true, host: "desk"},
		"com.":                               {},
		"1.0.101.100.in-addr.arpa.":          {v: Exists, origin: rev4, ptr: "laptop.home.internal."},
		"2.0.101.100.in-addr.arpa.":          {v: Missing, origin: rev4},
		"0.101.100.in-addr.arpa.":            {v: Exists, origin: rev4},
		"9.101.100.in-addr.arpa.":            {v: Missing, origin: rev4},
		rev4:                                 {v: Exists, origin: rev4, apex: true},
		"100.in-addr.arpa.":                  {},
		"in-addr.arpa.":                      {},
		"x.1.0.101.100.in-addr.arpa.":        {v: Missing, origin: rev4},
		"0-25.0.101.100.in-addr.arpa.":       {v: Missing, origin: rev4},
		"01.0.101.100.in-addr.arpa.":         {v: Missing, origin: rev4},
		"1.0.168.192.in-addr.arpa.":          {},
		ReverseName(ip("fd12:3456:789a::2")): {v: Exists, origin: rev6, ptr: "phone.home.internal."},
		ReverseName(ip("fd12:3456:789a::3")): {v: Missing, origin: rev6},
		"0." + rev6:                          {v: Exists, origin: rev6},
		"1." + rev6:                          {v: Missing, origin: rev6},
		"zz." + rev6:                         {v: Missing, origin: rev6},
		rev6:                                 {v: Exists, origin: rev6, apex: true},
		ReverseName(ip("fd12:3456:789b::2")): {},
		"x." + ReverseName(ip("fd12:3456:789a::2")): {v: Missing, origin: rev6},
	}
	for name, w := range tests {
		a := zs.Lookup(name)
		got := want{a.Verdict, a.Origin, a.Apex, a.Short, "", a.PTR}
		if a.Host != nil {
			got.host = a.Host.Name
		}
		if d := cmp.Diff(w, got, cmp.AllowUnexported(want{})); d != "" {
			t.Errorf("Lookup(%q): %s", name, d)
		}
	}
	if a := (*Zones)(nil).Lookup("laptop.home.internal."); a.Verdict != Foreign {
		t.Errorf("no zones: %v", a)
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	zs := testZones(t)
	names := []string{"laptop.home.internal.", "laptop.", "nobody.home.internal."}
	if n := testing.AllocsPerRun(100, func() {
		for _, name := range names {
			zs.Lookup(name)
		}
	}); n != 0 {
		t.Errorf("%v allocations a lookup", n)
	}
}

func TestReverseOrigins(t *testing.T) {
	tests := map[string][]string{
		"100.101.0.0/16":      {"101.100.in-addr.arpa."},
		"10.0.0.0/7":          {"10.in-addr.arpa.", "11.in-addr.arpa."},
		"100.64.0.0/22":       {"0.64.100.in-addr.arpa.", "1.64.100.in-addr.arpa.", "2.64.100.in-addr.arpa.", "3.64.100.in-addr.arpa."},
		"fd12:3456:789a::/48": {"a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa."},
		"fc00::/7":            {"c.f.ip6.arpa.", "d.f.ip6.arpa."},
		"255.254.0.0/15":      {"254.255.in-addr.arpa.", "255.255.in-addr.arpa."},
	}
	for p, want := range tests {
		if d := cmp.Diff(want, reverseOrigins(netip.MustParsePrefix(p))); d != "" {
			t.Errorf("%s: %s", p, d)
		}
	}
}

// FuzzLookup feeds names as the codec may spell them.
func FuzzLookup(f *testing.F) {
	for _, s := range []string{"laptop.home.internal.", `\.home.internal.`, "1.0.101.100.in-addr.arpa.", "f.f.ip6.arpa.", "", ".", "...", "a"} {
		f.Add(s)
	}
	zs := testZones(f)
	f.Fuzz(func(t *testing.T, name string) {
		a := zs.Lookup(name)
		if a.Verdict == Foreign && (a.Host != nil || a.PTR != "" || a.Origin != "") {
			t.Errorf("Lookup(%q) = %+v", name, a)
		}
		if a.Verdict != Foreign && a.Origin == "" {
			t.Errorf("Lookup(%q) = %+v without a zone", name, a)
		}
	})
}

// FuzzValid checks that nothing valid can break out of a line, a menu or a name.
func FuzzValid(f *testing.F) {
	for _, s := range []string{"laptop", "-1", "xn--a", "a\n", "a.b", "corp.example."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if ValidHost(s) == nil && (strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || len(s) > 63) {
			t.Errorf("ValidHost took %q", s)
		}
		if ValidDomain(s) == nil && strings.ContainsAny(s, " \t\r\n\\\"'#;") {
			t.Errorf("ValidDomain took %q", s)
		}
		_, refused, err := NewZone("home", []netip.Prefix{home6}, []Host{{s, netip.Addr{}, ip("fd12:3456:789a::1")}})
		if err != nil || (len(refused) == 0) != (ValidHost(s) == nil) {
			t.Errorf("NewZone with host %q: %v, %v", s, refused, err)
		}
	})
}
