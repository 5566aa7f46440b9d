package guest

import (
	"bytes"
	"testing"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// oneForm wants what was read to be spelt in one way.
func oneForm(t *testing.T, in []byte, v any, err error) {
	t.Helper()
	if err != nil {
		return
	}
	again, err := enc.Marshal(v)
	if err != nil || !bytes.HasPrefix(in, again) {
		t.Fatalf("%x is also spelt %x (%v)", in, again, err)
	}
}

func fixed[A ~[32]byte](b byte) (a A) {
	for i := range a {
		a[i] = b
	}
	return a
}

func FuzzAcceptance(f *testing.F) {
	raw, _ := Accept(fixed[key.Private](1), roster.ID{1}, SID{1}, key.Public{2}, key.Public{3}, "anna")
	f.Add(raw)
	f.Add(raw[:40])
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := DecodeAcceptance(b)
		oneForm(t, b, a, err)
		if err == nil && a.Verify(key.Public{9}, roster.ID{1}, SID{1}) {
			t.Fatal("signed by nobody, and believed")
		}
	})
}

func FuzzPass(f *testing.F) {
	p := Pass{Network: roster.ID{1}, SID: SID{1}, Guest: key.Public{1}, WG: key.Exchange{1}, Control: key.Exchange{2}, Label: "phone", NotBefore: 1, NotAfter: 2, N: 1, Device: Device{1}}
	raw, _ := p.Issue(fixed[key.Private](1))
	f.Add(raw)
	f.Add(raw[:100])
	c, _ := Cancel{SID: SID{1}, Device: Device{1}, N: 1}.Issue(fixed[key.Private](1))
	f.Add(c)
	a, _ := Ask{SID: SID{1}}.Sign(fixed[key.Private](1))
	f.Add(a)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := PeekPass(b)
		oneForm(t, b, p, err)
		OpenPass(b, key.Public{9})
		OpenCancel(b, func(SID) (key.Public, bool) { return key.Public{9}, true })
		OpenAsk(b)
	})
}

func FuzzView(f *testing.F) {
	owner := key.New()
	set, _, err := roster.Found(roster.Founding{
		Name: "home", Device: owner, DeviceName: "laptop", Now: time.Now, WG: key.NewExchange().Public(), Control: key.NewExchange().Public(),
	})
	if err != nil {
		f.Fatal(err)
	}
	v := set.View()
	s := &State{SID: SID{1}, Share: &Share{Devices: []key.Public{owner.Public()}, Sponsor: owner.Public(), PassMax: 1}}
	raw, err := Prove(owner, v, s, Seen{}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := OpenView(b, v.Network, SID{1})
		if err == nil && w.Signer != owner.Public() {
			t.Fatal("another signer is believed")
		}
	})
}

func FuzzShare(f *testing.F) {
	s := Share{Key: key.Public{1}, Name: "nas", Sponsor: key.Public{2}, Devices: []key.Public{{3}}, AcceptBy: 1, PassMax: 1, MaxGuests: 1}
	raw, _ := s.Encode()
	f.Add(raw)
	by := By{At: 1}
	raw, _ = by.Encode()
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeShare(b)
		oneForm(t, b, s, err)
		by, err := DecodeBy(b)
		oneForm(t, b, by, err)
		d, err := DecodeDeny(b)
		oneForm(t, b, d, err)
	})
}
