package roster

import (
	"crypto/sha256"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnothersWireGuardKeyClaimed(t *testing.T) {
	for _, c := range []struct {
		name  string
		claim func(*Admit)
	}{
		{"wg", func(a *Admit) { a.WG = exchange("tv") }},
		{"control", func(a *Admit) { a.Control = exchange("tv control") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := family(t)
			l.admit("alice", "tv")
			a := admission("ghost")
			c.claim(a)
			r := l.write("carol", l.last["carol"], l.last["carol"].Clock+1, a)
			l.member("tv", true)
			l.member("ghost", false)
			if x, _ := l.set.View().Explain(r.ID); x.Valid || x.Why == "" {
				t.Fatalf("%+v", x)
			}
		})
	}
	t.Run("nothing cascades", func(t *testing.T) {
		// One that loses its key still holds its name: who else is a member
		// does not hang on who lost what.
		l := family(t)
		l.admit("alice", "tv")
		a := admission("ghost")
		a.WG, a.Name = exchange("tv"), "nas"
		l.write("carol", nil, 0, a)
		l.admit("dave", "nas")
		if m := l.set.View().Member(who("nas")); m == nil || !m.Renamed {
			t.Fatalf("%+v", m)
		}
	})
}

func TestOldPopReplayed(t *testing.T) {
	l := family(t)
	old := admission("tv")
	l.write("alice", nil, 0, old)
	renewed := admission("tv")
	renewed.WG, renewed.N = exchange("tv anew"), 2
	l.write("alice", nil, 0, renewed)
	again := *old
	l.write("alice", nil, 0, &again) // governs, but its keys are old
	m := l.set.View().Member(who("tv"))
	if m.WG != exchange("tv anew") || m.N != 2 || m.Admit.ID != l.last["alice"].ID {
		t.Fatalf("%+v", m)
	}
}

func TestGroundPrefix(t *testing.T) {
	ours := ID{1}
	p := Prefix6(ours)
	h := sha256.Sum256(ours[:])
	if b := p.Addr().As16(); p.Bits() != 48 || b[0] != 0xfd || string(b[1:6]) != string(h[:5]) {
		t.Fatalf("prefix %v", p)
	}
	tv := who("tv")
	k := sha256.Sum256(tv[:])
	a := Addr6(ours, who("tv"))
	if b := a.As16(); !p.Contains(a) || string(b[6:]) != string(k[:10]) {
		t.Fatalf("address %v does not bind 80 bits of the key's hash", a)
	}
	// Under a ground prefix the address still proves its key, and the second
	// network is refused all the same.
	if SamePrefix(ours, ours) || SamePrefix(ours, ID{2}) {
		t.Fatal("two networks are taken for one")
	}
	if Addr6(ours, who("tv")) == Addr6(ours, who("nas")) {
		t.Fatal("two keys have one address")
	}
}

func TestDNSBeyondTheZoneByAJunior(t *testing.T) {
	l := family(t)
	list := func(s ...string) []byte {
		b, err := EncodeList(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	set := func(name, rtype string, v ...string) *Setting {
		return &Setting{Key: DNSKey(name, rtype), Value: list(v...)}
	}
	for _, c := range []struct {
		name   string
		body   *Setting
		junior bool
		owner  bool
	}{
		{"in the zone", set("wiki.home.internal", "A", "192.0.2.1"), true, true},
		{"wildcard in the zone", set("*.wiki.home.internal", "AAAA", "2001:db8::1"), true, true},
		{"beyond", set("bank.example", "A", "192.0.2.1"), false, true},
		{"a name that ends like the zone", set("evilhome.internal", "A", "192.0.2.1"), false, true},
		{"resolvers of the zone", set("home.internal", "NS", "192.0.2.53"), false, true},
		{"resolvers of all", set(".", "NS", "192.0.2.53:5353"), false, true},
		{"resolvers of internal", set("internal", "NS", "192.0.2.53"), false, false},
		{"no address", set("a.home.internal", "A", "localhost"), false, false},
		{"a line break", set("a.home.internal", "TXT", "a\nb"), false, false},
		{"a CNAME that is none", set("a.home.internal", "CNAME", "a b"), false, false},
		{"an SRV", set("_x._tcp.home.internal", "SRV", "1 2 443 nas.home.internal"), true, true},
		{"an MX", set("home.internal", "MX", "10 nas.home.internal"), true, true},
		{"an MX that is none", set("home.internal", "MX", "nas.home.internal"), false, false},
		{"an MX beyond", set("bank.example", "MX", "10 nas.home.internal"), false, true},
		{"a device's addresses", set("wiki.home.internal", DNSDevice, who("alice").String()), true, true},
		{"those of no key", set("wiki.home.internal", DNSDevice, "nas"), false, false},
		{"an SRV that is none", set("_x._tcp.home.internal", "SRV", "1 2 443"), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for by, want := range map[string]bool{"carol": c.junior, "alice": c.owner} {
				r, err := unsigned(who(by), l.set.Network(), l.last[by].ID, 1<<40, c.body)
				v := Unacceptable
				if err == nil {
					v, err = l.set.Clone().AddRecord(r, AddOptions{Verified: true})
				}
				if (v == Accepted) != want {
					t.Errorf("by %s: %v %v", by, v, err)
				}
			}
		})
	}
}

func TestClaimsOfIPv4(t *testing.T) {
	l := family(t)
	for _, n := range []string{"tv", "nas"} {
		a := admission(n)
		a.IP = 77
		l.write("alice", nil, 0, a)
	}
	v := l.set.View()
	tv, nas := v.Member(who("tv")), v.Member(who("nas"))
	if v.ByIndex(77) != tv || nas.IPv4.IsValid() || !nas.NoIPv4 {
		t.Fatalf("%v %v", tv.IPv4, nas.IPv4)
	}
	n, _ := EncodeUint(78)
	l.put("alice", DevKey(who("nas"), FieldIP), string(n))
	if m := l.set.View().Member(who("nas")); m.IPv4 != Addr4(v.Network, 78) || m.NoIPv4 {
		t.Fatalf("%+v", m)
	}
}

func TestSetByAJuniorOfTheAdmitter(t *testing.T) {
	l := family(t)
	l.admit("alice", "nas")
	l.admit("dave", "tv")
	for _, n := range []string{"nas", "tv"} {
		l.put("carol", DevKey(who(n), FieldName), n+"-x")
		l.put("carol", NetKey(who(n), FieldExit), "\x01")
	}
	v := l.set.View()
	if v.Member(who("nas")).Name != "nas" || v.Member(who("tv")).Name != "tv-x" {
		t.Fatalf("%v", names(v))
	}
	if !v.Member(who("nas")).Exit || !v.Member(who("tv")).Exit {
		t.Fatal("an approval does not depend on who admitted")
	}
	l.put("alice", DevKey(who("ghost"), FieldName), "x")
	if _, ok := l.set.View().Value(DevKey(who("ghost"), FieldName)); ok {
		t.Fatal("a key that names no member has a value")
	}
}

func TestSetWinner(t *testing.T) {
	l := family(t)
	prevA, prevC := l.last["alice"], l.last["carol"]
	put := func(by string, prev *Record, clock uint64, v string) {
		l.write(by, prev, clock, &Setting{Key: KeyPolicy, Value: []byte(v)})
	}
	put("alice", prevA, 5000, "owner")
	put("carol", prevC, 6000, "later")
	l.value(KeyPolicy, "later")
	put("alice", prevA, 6000, "senior")
	l.value(KeyPolicy, "senior")
	put("alice", prevA, 6001, "")
	l.value(KeyPolicy, "")
}

func TestGovernsByDepthThenClock(t *testing.T) {
	l := family(t)
	a := admission("tv")
	a.Tags = []string{"junior"}
	l.write("carol", nil, 9000, a)
	b := admission("tv")
	b.Tags = []string{"owner"}
	l.write("alice", nil, 0, b)
	if d := cmp.Diff([]string{"owner"}, l.set.View().Member(who("tv")).Tags); d != "" {
		t.Fatal(d)
	}
}
