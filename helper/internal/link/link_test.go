package link

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kith.internal/helper/internal/key"
)

// fill is n bytes that differ from field to field and from run to run not.
func fill[A ~[32]byte](seed byte) (a A) {
	for i := range a {
		a[i] = seed + byte(i)*7
	}
	return a
}

func addrs(ss ...string) (out []netip.AddrPort) {
	for _, s := range ss {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func testJoin() *Join {
	return &Join{
		Network: fill[[32]byte](1), Name: "home", Invite: fill[key.Private](2),
		Expires: time.Unix(1_800_000_000, 0).UTC(), Sponsor: fill[key.Public](3), SponsorName: "laptop",
		SponsorControl: fill[key.Exchange](4),
		Endpoints:      addrs("203.0.113.7:41000", "192.168.1.5:41000", "[2001:db8::7]:41000"),
		Relays: []Relay{{
			Key: fill[key.Public](5), Control: fill[key.Exchange](6), Pin: fill[[32]byte](7),
			Host: "vps.example.org:443", Addrs: addrs("198.51.100.9:443"),
		}},
	}
}

func testShare() *Share {
	return &Share{
		Network: fill[[32]byte](1), NetworkName: "home", ID: [16]byte{9, 8}, Name: "nas", Key: fill[key.Private](2),
		Expires: time.Unix(1_800_000_000, 0).UTC(), Sponsor: fill[key.Public](3), SponsorName: "laptop",
		SponsorControl: fill[key.Exchange](4), Endpoints: addrs("203.0.113.7:41000"),
	}
}

var same = cmp.Options{
	cmpopts.EquateComparable(netip.AddrPort{}),
	cmpopts.EquateEmpty(),
}

func TestRoundTrip(t *testing.T) {
	relayed := testJoin()
	relayed.Relays[0].Key, relayed.Relays[0].Control = relayed.Sponsor, relayed.SponsorControl
	relayed.Relays[0].Addrs = addrs("198.51.100.9:443", "[2001:db8::9]:443")
	bare := testJoin()
	bare.Endpoints, bare.Relays = nil, nil
	offer := testShare()
	offer.More, offer.Ports, offer.Exit, offer.Confirm, offer.Ends = 2, []byte{6, 0, 80, 0, 80}, true, true, time.Unix(1_900_000_000, 0).UTC()
	named := testJoin()
	named.Endpoints, named.Relays[0].Addrs = nil, nil
	for name, l := range map[string]interface{ Encode() (string, error) }{
		"join": testJoin(), "share": testShare(), "a share with all there is": offer, "the sponsor is the relay": relayed,
		"bare": bare, "a relay by name alone": named,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := l.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if len(s) > MaxLen {
				t.Errorf("%d characters", len(s))
			}
			got, err := Parse(" \n" + s + "\n")
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(l, got, same); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestGolden holds the format still: links outlive builds.
func TestGolden(t *testing.T) {
	const want = "kith://join/AakBWCABCA8WHSQrMjlAR05VXGNqcXh_ho2Um6KpsLe-xczT2gJkaG9tZQNYIAIJEBceJSwzOkFIT1ZdZGtyeYCHjpWco6qxuL_GzdTbBBprSdIABVggAwoRGB8mLTQ7QklQV15lbHN6gYiPlp2kq7K5wMfO1dwGZmxhcHRvcAdYIAQLEhkgJy41PENKUVhfZm10e4KJkJeepayzusHIz9bdCINGywBxB6AoRsCoAQWgKFIgAQ24AAAAAAAAAAAAAAAHoCgJgaUBWCAFDBMaISgvNj1ES1JZYGdudXyDipGYn6attLvCydDX3gJYIAYNFBsiKTA3PkVMU1phaG92fYSLkpmgp661vMPK0djfA1ggBw4VHCMqMTg_Rk1UW2JpcHd-hYyTmqGor7a9xMvS2eAEc3Zwcy5leGFtcGxlLm9yZzo0NDMFgUbGM2QJAbuvV-SP"
	got, err := testJoin().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFits(t *testing.T) {
	long := strings.Repeat("a", 63)
	var many []netip.AddrPort
	for i := range 100 {
		many = append(many, netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 41000))
	}
	j := testJoin()
	j.Name, j.SponsorName = long, long
	j.Endpoints = append(many, addrs("192.168.1.5:41000")...)
	j.Relays[0].Host = strings.Repeat("h", MaxHost)
	j.Relays = append(j.Relays, Relay{Key: fill[key.Public](8), Control: fill[key.Exchange](9), Host: "b"})
	s, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseJoin(s)
	if err != nil {
		t.Fatal(err)
	}
	if len(s) > MaxLen || len(s) < MaxLen-20 {
		t.Errorf("%d characters: too long, or room is left", len(s))
	}
	if len(got.Relays) != 1 || len(got.Relays[0].Addrs) != 1 {
		t.Errorf("the relay was dropped: %+v", got.Relays)
	}
	if want := addrs("192.0.2.0:41000", "192.168.1.5:41000"); len(got.Endpoints) < 2 ||
		got.Endpoints[0] != want[0] || got.Endpoints[len(got.Endpoints)-1] != want[1] {
		t.Errorf("endpoints %v: want the first public and the LAN's among them", got.Endpoints)
	}
	sh := testShare()
	sh.NetworkName, sh.SponsorName, sh.Name, sh.Endpoints = long, long, long, many
	if s, err := sh.Encode(); err != nil || len(s) > MaxLen {
		t.Errorf("share: %d characters, %v", len(s), err)
	}
	sh.Ports = make([]byte, 16*5)
	for i := range 16 {
		copy(sh.Ports[5*i:], []byte{6, byte(2 * i), 0, byte(2*i + 1), 0})
	}
	if s, err := sh.Encode(); !errors.Is(err, ErrTooLong) {
		t.Errorf("share of many ports: %d characters, %v", len(s), err)
	}
}

func TestUselessAddressesStayOut(t *testing.T) {
	j := testJoin()
	j.Endpoints = []netip.AddrPort{
		{}, netip.MustParseAddrPort("127.0.0.1:5"), netip.MustParseAddrPort("[::1]:5"), netip.MustParseAddrPort("0.0.0.0:5"),
		netip.MustParseAddrPort("[ff02::1]:5"), netip.MustParseAddrPort("192.0.2.1:0"), netip.MustParseAddrPort("[fe80::1%eth0]:5"),
		netip.MustParseAddrPort("[::ffff:192.0.2.1]:5"), netip.MustParseAddrPort("192.0.2.1:5"),
	}
	s, err := j.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseJoin(s)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(addrs("[fe80::1]:5", "192.0.2.1:5"), got.Endpoints, same); d != "" {
		t.Error(d)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, change := range map[string]func(*Join){
		"no network":        func(j *Join) { j.Network = [32]byte{} },
		"no key":            func(j *Join) { j.Invite = key.Private{} },
		"no sponsor":        func(j *Join) { j.Sponsor = key.Public{} },
		"no control key":    func(j *Join) { j.SponsorControl = key.Exchange{} },
		"no expiry":         func(j *Join) { j.Expires = time.Time{} },
		"name":              func(j *Join) { j.Name = "Home\n" },
		"sponsor's name":    func(j *Join) { j.SponsorName = "-a" },
		"relay's host name": func(j *Join) { j.Relays[0].Host = "a b" },
	} {
		j := testJoin()
		change(j)
		if s, err := j.Encode(); err == nil {
			t.Errorf("%s: encoded as %s", name, s)
		}
	}
	sh := testShare()
	sh.ID = [16]byte{}
	if _, err := sh.Encode(); err == nil {
		t.Error("a share without ID was encoded")
	}
	if err := new(body).check(kindJoin); err == nil {
		t.Error("an empty body passed")
	}
}

// raw gives a link with another payload and a right checksum.
func raw(kind string, b []byte) string {
	sum := checksum(kind, b)
	return scheme + kind + "/" + base64.RawURLEncoding.EncodeToString(append(b, sum[:]...))
}

func payload(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s[strings.LastIndexByte(s, '/')+1:])
	if err != nil {
		t.Fatal(err)
	}
	return b[:len(b)-checksumLen]
}

func TestParseErrors(t *testing.T) {
	join, _ := testJoin().Encode()
	share, _ := testShare().Encode()
	good := payload(t, join)
	newer := append([]byte{2}, good[1:]...)
	longer := append([]byte{version, good[1], 0x18, 0x01}, good[3:]...) // key 1 in two bytes
	trailing := append(append([]byte{}, good...), 0)
	for name, c := range map[string]struct {
		in   string
		want error
	}{
		"empty":             {"", ErrMalformed},
		"a web address":     {"https://example.org/", ErrMalformed},
		"scheme alone":      {"kith://", ErrMalformed},
		"kind alone":        {"kith://join/", ErrMalformed},
		"another kind":      {strings.Replace(join, "join", "trust", 1), ErrKind},
		"a share as a join": {strings.Replace(share, "share", "join", 1), ErrMalformed},
		"cut short":         {join[:len(join)-3], ErrMalformed},
		"a letter altered":  {join[:40] + "A" + join[41:], ErrMalformed},
		"two lines":         {join[:40] + "\n" + join[40:], ErrMalformed},
		"padded":            {join + "=", ErrMalformed},
		"too long":          {join + strings.Repeat("A", MaxLen), ErrMalformed},
		"a later version":   {raw("join", newer), ErrVersion},
		"version 0":         {raw("join", []byte{0}), ErrVersion},
		"not shortest CBOR": {raw("join", longer), ErrMalformed},
		"trailing byte":     {raw("join", trailing), ErrMalformed},
		"a share's fields":  {raw("join", payload(t, share)), ErrMalformed},
		"a join's fields":   {raw("share", good), ErrMalformed},
		"no map":            {raw("join", []byte{version}), ErrMalformed},
		"an array":          {raw("join", []byte{version, 0x80}), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.in)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
	if _, err := ParseJoin(share); !errors.Is(err, ErrKind) {
		t.Errorf("ParseJoin(share): %v", err)
	}
	if _, err := ParseShare(join); !errors.Is(err, ErrKind) {
		t.Errorf("ParseShare(join): %v", err)
	}
}

func TestErrorsKeepSecrets(t *testing.T) {
	join, _ := testJoin().Encode()
	for _, s := range []string{join[:60], join + "!", strings.ToUpper(join), strings.Replace(join, "join", "x", 1)} {
		_, err := Parse(s)
		if err == nil || strings.Contains(err.Error(), join[20:40]) {
			t.Errorf("Parse: %v", err)
		}
	}
}

func TestFingerprint(t *testing.T) {
	got := Fingerprint(fill[[32]byte](1))
	if d := cmp.Diff([]string{"horn", "use", "today", "aisle"}, got); d != "" {
		t.Error(d)
	}
	other := fill[[32]byte](1)
	other[31] ^= 1
	if strings.Join(Fingerprint(other), " ") == strings.Join(got, " ") {
		t.Error("another network has the same words")
	}
}

func BenchmarkFingerprint(b *testing.B) {
	for b.Loop() {
		Fingerprint(fill[[32]byte](1))
	}
}
