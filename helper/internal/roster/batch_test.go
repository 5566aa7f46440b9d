package roster

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
)

// TestAddAllIsAddOfEach offers real records, with one after another of the
// signatures spoilt, both ways.
func TestAddAllIsAddOfEach(t *testing.T) {
	h := newHome(t)
	ik := key.New()
	inv := check[*Record](t)(h.as(h.owner).Invite(InviteRequest{Key: ik.Public(), Expires: h.clock.at.Add(time.Hour)}))
	tv := newDevice()
	a := tv.admission(h.set.Network(), "tv")
	a.Invite, a.InviteSig = inv.ID, SignInvite(ik, inv.ID, a.Device, a.WG)
	good := check[*Record](t)(h.as(h.owner).Admit(a))
	spoil := func(edit func(*Admit)) []byte {
		b := *good.Body.(*Admit)
		edit(&b)
		return check[*Record](t)(Sign(h.owner.key, h.set.Network(), inv.ID, MaxClock, &b)).Raw
	}
	var all [][]byte
	for r := range h.set.All() {
		all = append(all, r.Raw)
	}
	unsigned := bytes.Clone(good.Raw)
	unsigned[len(unsigned)-1] ^= 1
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"none":                 {good.Raw, nil},
		"garbage":              {[]byte("garbage"), ErrMalformed},
		"the record's":         {unsigned, ErrSignature},
		"the pop":              {spoil(func(a *Admit) { a.Pop[0] ^= 1 }), ErrSignature},
		"the invite's":         {spoil(func(a *Admit) { a.InviteSig[0] ^= 1 }), ErrSignature},
		"an unknown invite's":  {spoil(func(a *Admit) { a.Invite[0] ^= 1 }), nil}, // pending
		"one with no invite's": {spoil(func(a *Admit) { a.Invite, a.InviteSig = ID{}, [64]byte{} }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			raws := append(append([][]byte{}, all[1:len(all)-1]...), c.raw, all[1])
			one, many := newSet(h.set.Genesis()), newSet(h.set.Genesis())
			var want []Verdict
			for _, raw := range raws {
				v, _ := one.Add(raw, AddOptions{})
				want = append(want, v)
			}
			var got []Verdict
			for _, r := range many.AddAll(raws, AddOptions{}) {
				got = append(got, r.Verdict)
				if r.Err != nil && !errors.Is(r.Err, c.want) {
					t.Error(r.Err)
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(d)
			}
			if c.want != nil && got[len(got)-2] != Unacceptable {
				t.Fatalf("taken: %v", got)
			}
			if one.View().Digest().Sum != many.View().Digest().Sum {
				t.Fatal("the sets differ")
			}
		})
	}
}

func TestAddAllWithTheInviteBehindItsAdmission(t *testing.T) {
	h := newHome(t)
	ik := key.New()
	inv := check[*Record](t)(h.as(h.owner).Invite(InviteRequest{Key: ik.Public(), Expires: h.clock.at.Add(time.Hour)}))
	var all [][]byte
	for r := range h.set.All() {
		all = append(all, r.Raw)
	}
	for _, honest := range []bool{true, false} {
		d := newDevice()
		a := d.admission(h.set.Network(), "tv")
		b := &Admit{Device: a.Device, WG: a.WG, Control: a.Control, N: 1, Pop: a.Pop, Name: "tv", Invite: inv.ID}
		if b.InviteSig = SignInvite(key.New(), inv.ID, a.Device, a.WG); honest {
			b.InviteSig = SignInvite(ik, inv.ID, a.Device, a.WG)
		}
		r := check[*Record](t)(Sign(h.owner.key, h.set.Network(), inv.ID, MaxClock, b))
		s := newSet(h.set.Genesis())
		s.AddAll(append([][]byte{r.Raw}, all[1:]...), AddOptions{})
		if s.Has(r.ID) != honest {
			t.Fatalf("honest %v: held %v", honest, s.Has(r.ID))
		}
	}
}
