package roster

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
)

func TestForm(t *testing.T) {
	l := family(t)
	admit := func(edit func(*Admit)) *Admit { a := admission("tv"); edit(a); return a }
	long := make([]ID, 1900)
	for i := range long {
		long[i] = ID{1, byte(i >> 8), byte(i)}
	}
	for name, b := range map[string]Body{
		"a grant to nobody":           &Grant{Caps: CapAdmit},
		"a grant to oneself":          &Grant{Subject: who("alice"), Caps: CapAdmit},
		"unknown capabilities":        &Grant{Subject: who("x"), Caps: allCaps + 1},
		"prefixes out of order":       &Grant{Subject: who("x"), Prefixes: []string{"b", "a"}},
		"a prefix with a blank":       &Grant{Subject: who("x"), Prefixes: []string{"a b"}},
		"all tags and one more":       &Grant{Subject: who("x"), Tags: []string{"*", "a"}},
		"an invite without a key":     &Invite{Any: true, Expires: 1},
		"neither sponsor nor any":     &Invite{Key: who("k"), Expires: 1, Uses: 1},
		"sponsor and any":             &Invite{Key: who("k"), Expires: 1, Uses: 1, Any: true, Sponsor: who("x")},
		"any with a use count":        &Invite{Key: who("k"), Expires: 1, Uses: 1, Any: true},
		"a sponsor and no use count":  &Invite{Key: who("k"), Expires: 1, Sponsor: who("x")},
		"an invite without an expiry": &Invite{Key: who("k"), Any: true},
		"an invite with all tags":     &Invite{Key: who("k"), Any: true, Expires: 1, Tags: []string{"*"}},
		"no device":                   admit(func(a *Admit) { a.Device = key.Public{} }),
		"no WireGuard key":            admit(func(a *Admit) { a.WG = key.Exchange{} }),
		"no control key":              admit(func(a *Admit) { a.Control = key.Exchange{} }),
		"n of 0":                      admit(func(a *Admit) { a.N = 0 }),
		"an expiry past 2^53":         admit(func(a *Admit) { a.Expires = 1 << 53 }),
		"the last index":              admit(func(a *Admit) { a.IP = 65535 }),
		"an invite unsigned":          admit(func(a *Admit) { a.Invite = ID{1} }),
		"a signature for no invite":   admit(func(a *Admit) { a.InviteSig[0] = 1 }),
		"a name that is no label":     admit(func(a *Admit) { a.Name = "a\nb" }),
		"tags twice":                  admit(func(a *Admit) { a.Tags = []string{"a", "a"} }),
		"no target":                   &Revoke{},
		"two targets":                 &Revoke{Key: who("x"), Record: ID{1}},
		"a keep out of order":         &Revoke{Key: who("x"), Keep: []ID{{2}, {1}}},
		"a keep twice":                &Revoke{Key: who("x"), Keep: []ID{{2}, {2}}},
		"a keep of zero":              &Revoke{Key: who("x"), Keep: []ID{{}}},
		"over 64 KiB":                 &Revoke{Key: who("x"), Keep: append(long, ID{2}, ID{3}, ID{4}, ID{5}, ID{6}, ID{7}, ID{8}, ID{9}, ID{10}, ID{11}, ID{12}, ID{13}, ID{14}, ID{15}, ID{16}, ID{17}, ID{18}, ID{19}, ID{20}, ID{21}, ID{22}, ID{23}, ID{24}, ID{25}, ID{26}, ID{27}, ID{28}, ID{29}, ID{30}, ID{31}, ID{32})},
		"over 4 KiB":                  &Setting{Key: ShareKey("a"), Value: make([]byte, 4000)},
		"a policy over 64 KiB":        &Setting{Key: KeyPolicy, Value: make([]byte, 65400)},
		"a genesis with a prev":       &Genesis{Name: "x"},
	} {
		if _, err := unsigned(who("alice"), l.set.Network(), l.last["alice"].ID, 1<<40, b); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := unsigned(who("alice"), l.set.Network(), l.last["alice"].ID, 1<<40, &Setting{Key: KeyPolicy, Value: make([]byte, 65000)}); err != nil {
		t.Errorf("a large policy: %v", err)
	}
	if _, err := unsigned(who("alice"), l.set.Network(), l.last["alice"].ID, 1<<40, &Revoke{Key: who("x"), Keep: long[:MaxKeep]}); err != nil {
		t.Errorf("a revocation as large as writers make them: %v", err)
	}
}

func TestAcceptance(t *testing.T) {
	l := family(t)
	limited := Grant{Caps: CapGrant | CapAdmit | CapRemove, Tags: []string{"a"}, Prefixes: []string{"dev/"}}
	l.grant("carol", "frank", limited)
	inv := l.invite("carol", "carol")
	tag := func(tags ...string) *Admit { a := admission("tv"); a.Tags = tags; return a }
	tags := check[[]byte](t)(EncodeList([]string{"b"}))
	for name, c := range map[string]struct {
		by   string
		prev *Record
		body Body
	}{
		"a grant below depth 3":             {"frank", nil, &Grant{Subject: who("x"), Caps: CapAdmit}},
		"more capabilities than own":        {"carol", nil, &Grant{Subject: who("x"), Prefixes: []string{""}}},
		"more tags than own":                {"frank", nil, tag("b")},
		"tags that the invite does not":     {"carol", nil, func() *Admit { a := tag("a"); a.Invite, a.InviteSig = inv.ID, [64]byte{1}; return a }()},
		"more tags by a setting":            {"frank", nil, &Setting{Key: DevKey(who("x"), FieldTags), Value: tags}},
		"an invite with more tags than own": {"frank", nil, &Invite{Key: who("k"), Any: true, Expires: 1, Tags: []string{"b"}}},
		"a prefix that is not own":          {"frank", nil, &Setting{Key: KeyPolicy, Value: []byte("x")}},
		"a class that is for owners":        {"carol", nil, &Setting{Key: KeySuccessor, Value: make([]byte, 32)}},
		"without authority":                 {"tv", l.last["carol"], admission("x")},
		"behind a stranger's record":        {"dave", l.last["carol"], admission("x")},
		"a revocation of an admission":      {"carol", nil, revocation(l.set.Get(l.last["alice"].Prev))},
		"an invite that is none":            {"carol", nil, func() *Admit { a := tag(); a.Invite, a.InviteSig = l.last["carol"].Prev, [64]byte{1}; return a }()},
	} {
		t.Run(name, func(t *testing.T) {
			l.t = t
			prev := c.prev
			if prev == nil {
				prev = l.last[c.by]
			}
			l.refused(c.by, prev, c.body)
		})
	}
	l.t = t
	t.Run("a clock that does not rise", func(t *testing.T) {
		if _, v, _ := l.try("carol", nil, l.last["carol"].Clock, admission("x")); v != Unacceptable {
			t.Fatal(v)
		}
	})
	t.Run("a narrower grant", func(t *testing.T) {
		l.grant("carol", "gina", Grant{Caps: CapNet, Tags: []string{"a", "b"}, Prefixes: []string{"dns/wiki.", "net/"}})
		l.put("gina", DNSKey("wiki.home.internal", "TXT"), string(check[[]byte](t)(EncodeList([]string{"x"}))))
		l.refused("gina", nil, &Setting{Key: DNSKey("other.home.internal", "TXT")})
	})
}

func TestExplain(t *testing.T) {
	l := family(t)
	nas := l.admit("carol", "nas")
	ghost := l.admit("carol", "ghost")
	old, now := l.put("dave", KeyPolicy, "1"), l.put("dave", KeyPolicy, "22")
	inv := l.invite("dave", "dave")
	vain := l.revoke("dave", "alice")
	name := l.put("dave", DevKey(who("nas"), FieldName), "store")
	ended := l.revoke("alice", inv)
	cut := l.revoke("alice", "carol", nas)
	stray := l.put("dave", DevKey(who("carol"), FieldName), "x")
	v := l.set.View()
	for r, want := range map[*Record]Explanation{
		l.set.Genesis(): {Valid: true, Why: "founds the network", Says: "found home"},
		nas:             {Valid: true, Why: "admits store", Says: "admit nas (" + who("nas").Short() + ")"},
		ghost:           {Why: "not kept when alice revoked " + v.NameOf(who("carol")) + " (" + cut.ID.Short() + ")", Says: "admit ghost (" + who("ghost").Short() + ")"},
		old:             {Why: "superseded by " + now.ID.Short(), Says: "set policy to 1 byte"},
		now:             {Valid: true, Why: "in force", Says: "set policy to 2 bytes"},
		inv:             {Why: "ended: revoked by alice (" + ended.ID.Short() + ")", Says: "invite until " + stamp(1<<50) + ", sponsor dave, 1 use"},
		vain:            {Why: "its target is not below its author", Says: "revoke alice, keeping 0 records"},
		name:            {Valid: true, Why: "in force", Says: "set name of store to store"},
		cut:             {Valid: true, Why: "in force", Says: "revoke " + v.NameOf(who("carol")) + ", keeping 1 record"},
		stray:           {Why: "its device is no member", Says: "set name of " + v.NameOf(who("carol")) + " to x"},
	} {
		got, ok := v.Explain(r.ID)
		if !ok || got.Record != r {
			t.Fatal("not held")
		}
		got.Record = nil
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", r.Type, d)
		}
	}
	if _, ok := v.Explain(ID{1}); ok {
		t.Error("explains what is not held")
	}
}

func TestSponsorAdmitsByInviteAlone(t *testing.T) {
	h := newHome(t)
	relay := h.admin(h.owner, "relay", SponsorGrant())
	if m := h.set.View().ByName("relay"); m.Role != RoleSponsor || m.Rank != 2 {
		t.Fatalf("%+v", m)
	}
	ik := key.New()
	inv := check[*Record](t)(h.as(h.owner).Invite(InviteRequest{Key: ik.Public(), Sponsor: relay.pub(), Uses: 1, Expires: h.clock.at.Add(time.Hour)}))
	tv := newDevice()
	a := tv.admission(h.set.Network(), "tv")
	if _, err := h.as(relay).Admit(a); !errors.Is(err, ErrNotPermitted) {
		t.Fatal(err)
	}
	a.Invite, a.InviteSig = inv.ID, SignInvite(ik, inv.ID, tv.pub(), tv.wg)
	check[*Record](t)(h.as(relay).Admit(a))
	h.want("laptop", "relay", "tv")
	s := check[*Set](t)(NewSet(h.set.Genesis().Raw))
	for r := range h.set.All() {
		if v, err := s.Add(r.Raw, AddOptions{}); v != Accepted && v != Duplicate {
			t.Fatal(v, err)
		}
	}
}

func TestParseID(t *testing.T) {
	id := ID{1, 0xab}
	if got, err := ParseID(id.String()); got != id || err != nil {
		t.Fatal(got, err)
	}
	for _, s := range []string{"", "zz", strings.ToUpper(id.String()), id.String() + "00"} {
		if _, err := ParseID(s); err == nil {
			t.Errorf("%q", s)
		}
	}
}
