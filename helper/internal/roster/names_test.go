package roster

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"kith.internal/helper/internal/key"
)

func TestValidLabel(t *testing.T) {
	for s, ok := range map[string]bool{
		"a": true, "nas-2": true, "0": true, strings.Repeat("a", 63): true,
		"": false, strings.Repeat("a", 64): false, "-a": false, "a-": false, "A": false, "a.b": false, "a_b": false, "ä": false, "a\n": false, "a b": false,
	} {
		if err := ValidLabel(s); (err == nil) != ok || err != nil && !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestReservedNetworkNames(t *testing.T) {
	for _, s := range strings.Fields("google docker ec2 compute c kubernetes containers lima orb") {
		if ValidNetworkName(s) == nil || ValidLabel(s) != nil {
			t.Errorf("%q", s)
		}
		if _, err := unsigned(who("root"), ID{}, ID{}, 1, &Genesis{Name: s}); !errors.Is(err, ErrName) {
			t.Errorf("a genesis named %q: %v", s, err)
		}
	}
	if err := ValidNetworkName("home"); err != nil {
		t.Error(err)
	}
}

func TestMakeLabel(t *testing.T) {
	for in, want := range map[string]string{
		"Anna's MacBook Pro.local": "annas-macbook-pro", "DESKTOP-7": "desktop-7", "-1": "1", "": "device", "…": "device", "a__b": "a-b",
		" x ": "x", strings.Repeat("y", 62) + "-z": strings.Repeat("y", 62), "größe": "gr-e",
	} {
		got := MakeLabel(in)
		if got != want || ValidLabel(got) != nil {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFreeNameStaysALabel(t *testing.T) {
	l := family(t)
	long := strings.Repeat("a", 61) + "-b"
	for i := range 12 {
		name := l.set.View().FreeName(long, key.Public{})
		if err := ValidLabel(name); err != nil {
			t.Fatal(err)
		}
		a := admission(string(rune('A' + i)))
		a.Name = name
		l.write("alice", nil, 0, a)
	}
	if n := len(l.set.View().Members); n != 5+12 {
		t.Fatal(n)
	}
	b := admission("loser")
	b.Name = long
	l.write("alice", nil, 0, b)
	if m := l.set.View().Member(who("loser")); !m.Renamed || ValidLabel(m.Name) != nil {
		t.Fatalf("%+v", m)
	}
}

func TestRange4(t *testing.T) {
	seen := map[netip.Prefix]bool{}
	all := netip.MustParsePrefix("100.64.0.0/10")
	for i := range 5000 {
		p := Range4(ID{byte(i), byte(i >> 8)})
		b := p.Addr().As4()
		if p.Bits() != 16 || !all.Contains(p.Addr()) || p.Masked() != p || b[1] == 64 || b[1] == 100 {
			t.Fatal(p)
		}
		seen[p] = true
	}
	if len(seen) != 62 {
		t.Fatalf("%d ranges", len(seen))
	}
	n := ID{1}
	for _, i := range []uint16{0, 65535} {
		if Addr4(n, i).IsValid() {
			t.Errorf("index %d has an address", i)
		}
	}
	if a := Addr4(n, 258); !Range4(n).Contains(a) || a.As4()[2] != 1 || a.As4()[3] != 2 {
		t.Error(a)
	}
}

func TestPhrase(t *testing.T) {
	for _, k := range []key.Private{{}, key.New(), {31: 1}} {
		words := Phrase(k)
		if n := len(strings.Fields(words)); n != 24 {
			t.Fatalf("%d words", n)
		}
		got, err := ParsePhrase("  " + strings.ToUpper(strings.ReplaceAll(words, " ", "\n ")))
		if err != nil || got != k {
			t.Fatalf("%v %v", got == k, err)
		}
	}
	// BIP-39's own vector for 256 zero bits.
	if got := Phrase(key.Private{}); got != strings.Repeat("abandon ", 23)+"art" {
		t.Fatal(got)
	}
	words := strings.Fields(Phrase(key.New()))
	swap := append([]string(nil), words...)
	swap[0] = "zzzz"
	for name, s := range map[string]string{
		"too few": strings.Join(words[:23], " "), "no word": strings.Join(swap, " "), "a wrong sum": strings.Repeat("abandon ", 24), "empty": "",
	} {
		if _, err := ParsePhrase(s); !errors.Is(err, ErrPhrase) || strings.Contains(err.Error(), "zzzz") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValues(t *testing.T) {
	l := family(t)
	dev := who("carol")
	list := func(s ...string) []byte { b, _ := marshal(s); return b }
	num := func(n uint64) []byte { b, _ := EncodeUint(n); return b }
	relay, err := RelayInfo{Host: "vps.example", Addrs: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:443"), netip.MustParseAddrPort("[2001:db8::7]:443")}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		key   string
		value []byte
		ok    bool
	}{
		{DevKey(dev, FieldName), []byte("x"), true},
		{DevKey(dev, FieldName), []byte("X"), false},
		{DevKey(dev, FieldName), nil, true},
		{DevKey(dev, FieldTags), list("a", "b"), true},
		{DevKey(dev, FieldTags), list("b", "a"), false},
		{DevKey(dev, FieldTags), list("*"), false},
		{DevKey(dev, FieldTags), []byte{0x80}, false},
		{DevKey(dev, FieldIP), num(65534), true},
		{DevKey(dev, FieldIP), num(65535), false},
		{DevKey(dev, FieldIP), []byte{0x18, 1}, false},
		{NetKey(dev, FieldRoute), list("10.0.0.0/8", "fd00::/64"), true},
		{NetKey(dev, FieldRoute), list("10.0.0.1/8"), false},
		{NetKey(dev, FieldRoute), list("0.0.0.0/0"), false},
		{NetKey(dev, FieldExit), []byte{2}, false},
		{NetKey(dev, FieldRelay), relay, true},
		{NetKey(dev, FieldRelay), relay[:len(relay)-1], false},
		{KeyEpoch, make([]byte, 31), false},
		{KeyEpoch, make([]byte, 32), true},
		{KeySuccessor, make([]byte, 32), true},
		{KeyFormat, num(0), false},
		{KeyFormat, nil, false},
		{ShareKey("abc", "by"), []byte("raw"), true},
		{"share/", nil, false},
		{"share/a/b/c/d", nil, false},
		{"dev/" + strings.ToUpper(dev.String()) + "/name", nil, false},
		{"dev/" + dev.String()[:51] + "z/name", nil, false},
		{DevKey(dev, FieldExit), nil, false},
		{NetKey(dev, FieldName), nil, false},
		{"", nil, false},
		{"policy/", nil, false},
		{"other", nil, false},
	} {
		v := Unacceptable
		if r, err := unsigned(who("alice"), l.set.Network(), l.last["alice"].ID, 1<<40, &Setting{Key: c.key, Value: c.value}); err == nil {
			v, _ = l.set.Clone().AddRecord(r, AddOptions{Verified: true})
		}
		if (v == Accepted) != c.ok {
			t.Errorf("%s = %x: %v", c.key, c.value, v)
		}
	}
	if _, err := (RelayInfo{Addrs: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:1")}}).Encode(); err == nil {
		t.Error("a relay at no address")
	}
}

func TestSetDevice(t *testing.T) {
	h := newHome(t)
	tv := h.admit(h.owner, "tv")
	a := h.as(h.owner)
	info := &RelayInfo{Host: "vps.example", Pin: [32]byte{9}}
	check[*Record](t)(a.ApproveRelay(tv.pub(), info))
	check[*Record](t)(a.ApproveExit(tv.pub(), true))
	check[*Record](t)(a.SetTags(tv.pub(), []string{"b", "a", "b"}))
	check[*Record](t)(a.SetIndex(tv.pub(), 9))
	check[*Record](t)(a.SetDNS("wiki.home.internal", "A", []string{"192.0.2.1"}))
	check[*Record](t)(a.SetEpoch([32]byte{3}))
	check[*Record](t)(a.SetSuccessor(ID{4}))
	v := h.set.View()
	m := v.Member(tv.pub())
	if m.Relay == nil || m.Relay.Host != info.Host || m.Relay.Pin != info.Pin || !m.Exit || strings.Join(m.Tags, "") != "ab" || v.ByIndex(9) != m ||
		len(v.DNS) != 1 || v.DNS[0].Values[0] != "192.0.2.1" || v.Epoch != [32]byte{3} || v.Successor != (ID{4}) {
		t.Fatalf("%+v %+v", m, v)
	}
	check[*Record](t)(a.ApproveRelay(tv.pub(), nil))
	check[*Record](t)(a.ApproveExit(tv.pub(), false))
	check[*Record](t)(a.SetTags(tv.pub(), nil))
	check[*Record](t)(a.SetIndex(tv.pub(), 0))
	m = h.set.View().Member(tv.pub())
	if m.Relay != nil || m.Exit || len(m.Tags) > 0 || m.IPv4.IsValid() {
		t.Fatalf("%+v", m)
	}
	if _, err := a.Rename(tv.pub(), "laptop"); !errors.Is(err, ErrName) {
		t.Fatal(err)
	}
	if _, err := a.Rename(newDevice().pub(), "x"); !errors.Is(err, ErrUnknown) {
		t.Fatal(err)
	}
}
