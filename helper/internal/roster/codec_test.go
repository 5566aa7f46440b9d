package roster

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kith.internal/helper/internal/key"
)

// samples are records of every type.
func samples(t testing.TB) (out []*Record) {
	c := newChaos(t, 99)
	for range 150 {
		c.step()
	}
	l := c.lab
	relay, err := RelayInfo{Host: "vps.example:443", Pin: [32]byte{1}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	l.put("alice", NetKey(who("carol"), FieldRelay), string(relay))
	l.leave("tv", l.admit("alice", "tv"))
	l.invite("alice", "carol")
	for r := range l.set.All() {
		out = append(out, r)
	}
	return out
}

// TestSecondDecoderAgrees mutates records: what the first takes the second
// takes too, with the same fields; what the second refuses the first refuses.
func TestSecondDecoderAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	recs := samples(t)
	taken, refused := 0, 0
	for n := range 8000 {
		r := recs[n%len(recs)]
		raw := bytes.Clone(r.Raw)
		for range rng.IntN(3) {
			i := rng.IntN(len(raw) - 64)
			switch rng.IntN(4) {
			case 0:
				raw[i] ^= 1 << rng.IntN(8)
			case 1:
				raw = append(raw[:i], raw[i+1:]...)
			case 2:
				raw = append(raw[:i], append([]byte{byte(rng.IntN(256))}, raw[i:]...)...)
			case 3:
				raw[i] = byte(rng.IntN(256))
			}
		}
		agree(t, raw)
		if _, err := Decode(raw); err == nil {
			taken++
		} else {
			refused++
		}
	}
	if taken < 500 || refused < 500 {
		t.Fatalf("%d taken, %d refused: the mutations are too wild or too tame", taken, refused)
	}
}

func agree(t *testing.T, raw []byte) {
	t.Helper()
	r, err := Decode(raw)
	m, err2 := decode2(raw)
	if err == nil && err2 != nil {
		t.Fatalf("%x: taken by the first decoder alone", raw)
	}
	// The second knows shapes alone, not what a field may say.
	if err2 == nil && err != nil && strings.Contains(err.Error(), "canonical") {
		t.Fatalf("%x: taken by the second decoder alone: %v", raw, err)
	}
	if err != nil || err2 != nil {
		return
	}
	want := fmt.Sprintf("%d %x %d", r.Type, r.Author[:], r.Clock)
	if got := fmt.Sprintf("%d %x %d", m[2], m[4], m[6]); got != want {
		t.Fatalf("the decoders read %s and %s", want, got)
	}
	body := m[7].(map[uint64]any)
	switch b := r.Body.(type) {
	case *Admit:
		want = fmt.Sprintf("%x %x %x %d %x %s", b.Device[:], b.WG, b.Control, b.N, b.Pop, b.Name)
		if got := fmt.Sprintf("%x %x %x %d %x %s", body[1], body[2], body[3], body[4], body[5], body[6]); got != want {
			t.Fatalf("the decoders read %s and %s", want, got)
		}
	case *Setting:
		v, _ := body[2].([]byte)
		if body[1] != b.Key || !bytes.Equal(v, b.Value) {
			t.Fatalf("the decoders read %+v and %v", b, body)
		}
	}
}

func TestNonCanonicalCBOR(t *testing.T) {
	r := samples(t)[1]
	p := r.payload()
	sig := make([]byte, 64)
	with := func(b ...[]byte) []byte { return append(bytes.Join(b, nil), sig...) }
	var e envelope
	if err := decMode.Unmarshal(p, &e); err != nil {
		t.Fatal(err)
	}
	body := []byte(e.Body)
	loose := func(m map[uint64]any) []byte {
		b, err := marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	fields := func(edit func(map[uint64]any)) []byte {
		m := map[uint64]any{}
		if err := peek.Unmarshal(p, &m); err != nil {
			t.Fatal(err)
		}
		edit(m)
		return with(loose(m))
	}
	for name, raw := range map[string][]byte{
		"empty":                   {},
		"a signature alone":       sig,
		"trailing bytes":          with(p, []byte{0}),
		"a longer length":         with([]byte{0xb8, 7}, p[1:]),
		"an indefinite length":    with([]byte{0xbf}, p[1:], []byte{0xff}),
		"a tag":                   with([]byte{0xc1}, p),
		"keys out of order":       with([]byte{p[0]}, p[3:5], p[1:3], p[5:]),
		"a key twice":             with([]byte{p[0] + 1}, p[1:3], p[1:]),
		"a long integer":          with(p[:1], []byte{1, 0x18, 1}, p[3:]),
		"a float as version":      with(p[:1], []byte{1, 0xf9, 0x3c, 0}, p[3:]),
		"an unknown key":          fields(func(m map[uint64]any) { m[9] = uint64(1) }),
		"a zero prev":             fields(func(m map[uint64]any) { m[5] = make([]byte, 32) }),
		"no network":              fields(func(m map[uint64]any) { delete(m, 3) }),
		"a short author":          fields(func(m map[uint64]any) { m[4] = m[4].([]byte)[:31] }),
		"a long author":           fields(func(m map[uint64]any) { m[4] = append(bytes.Clone(m[4].([]byte)), 0) }),
		"an author of text":       fields(func(m map[uint64]any) { m[4] = string(bytes.Repeat([]byte{'a'}, 32)) }),
		"null body":               fields(func(m map[uint64]any) { m[7] = nil }),
		"a body of another type":  fields(func(m map[uint64]any) { m[2] = uint64(TypeAdmit) }),
		"type 0":                  fields(func(m map[uint64]any) { m[2] = uint64(0) }),
		"a clock of 2^53":         fields(func(m map[uint64]any) { m[6] = uint64(1 << 53) }),
		"a newer version":         fields(func(m map[uint64]any) { m[1] = uint64(2) }),
		"version 0":               fields(func(m map[uint64]any) { m[1] = uint64(0) }),
		"body with a zero field":  with(bytes.Replace(p, body, loose(map[uint64]any{1: make([]byte, 32), 2: uint64(0)}), 1)),
		"body with an empty list": with(bytes.Replace(p, body, append([]byte{body[0] + 1}, append(bytes.Clone(body[1:]), 5, 0x80)...), 1)),
	} {
		if r, err := Decode(raw); err == nil {
			t.Errorf("%s: taken as %+v", name, r)
		} else if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrNewer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReplaysAcrossNetworkTypeAndTag(t *testing.T) {
	h, o := newHome(t), newHome(t)
	tv := newDevice()
	a := tv.admission(h.set.Network(), "tv")
	r := check[*Record](t)(h.as(h.owner).Admit(a))
	t.Run("another network's record", func(t *testing.T) {
		if v, _ := o.set.Add(r.Raw, AddOptions{}); v != Unacceptable {
			t.Fatal(v)
		}
		if v, _ := o.set.Add(h.set.Genesis().Raw, AddOptions{}); v != Unacceptable {
			t.Fatal(v)
		}
	})
	t.Run("another network's pop", func(t *testing.T) {
		if _, err := o.as(o.owner).Admit(a); !errors.Is(err, ErrSignature) {
			t.Fatal(err)
		}
	})
	t.Run("another record's signature", func(t *testing.T) {
		raw := append(bytes.Clone(r.payload()), h.set.nodes[1].rec.Raw[len(h.set.nodes[1].rec.Raw)-64:]...)
		if v, err := newSet(h.set.Genesis()).Add(raw, AddOptions{}); v != Unacceptable || !errors.Is(err, ErrSignature) {
			t.Fatal(v, err)
		}
	})
	t.Run("a signature under another tag", func(t *testing.T) {
		for _, tag := range []string{tagID, tagPop, tagInvite, ""} {
			sig := h.owner.key.Sign(tag, r.payload())
			raw := append(bytes.Clone(r.payload()), sig[:]...)
			if v, _ := newSet(h.set.Genesis()).Add(raw, AddOptions{}); v != Unacceptable {
				t.Fatalf("%q: %v", tag, v)
			}
		}
	})
	t.Run("a pop for other keys or n", func(t *testing.T) {
		for _, edit := range []func(*Admission){
			func(a *Admission) { a.WG[0]++ },
			func(a *Admission) { a.Control[0]++ },
			func(a *Admission) { a.N++ },
			func(a *Admission) { a.Device = newDevice().pub() },
			func(a *Admission) { a.Pop = SignInvite(tv.key, ID{}, a.Device, a.WG) },
		} {
			b := a
			edit(&b)
			if VerifyPop(h.set.Network(), b.Device, b.WG, b.Control, b.N, b.Pop) {
				t.Fatalf("%+v", b)
			}
			body := &Admit{Device: b.Device, WG: b.WG, Control: b.Control, N: b.N, Pop: b.Pop, Name: "x"}
			s := check[*Record](t)(Sign(h.owner.key, h.set.Network(), r.ID, MaxClock, body))
			if v, _ := h.set.Add(s.Raw, AddOptions{}); v != Unacceptable {
				t.Fatal(v)
			}
		}
	})
	t.Run("an invite's signature for another invite, device or key", func(t *testing.T) {
		k := key.New()
		sig := SignInvite(k, ID{1}, tv.pub(), tv.wg)
		if !VerifyInvite(k.Public(), ID{1}, tv.pub(), tv.wg, sig) || VerifyInvite(k.Public(), ID{2}, tv.pub(), tv.wg, sig) ||
			VerifyInvite(k.Public(), ID{1}, h.owner.pub(), tv.wg, sig) || VerifyInvite(k.Public(), ID{1}, tv.pub(), h.owner.wg, sig) {
			t.Fatal("replayed")
		}
	})
	t.Run("the signature is no part of the ID", func(t *testing.T) {
		raw := bytes.Clone(r.Raw)
		raw[len(raw)-1] ^= 1
		d := check[*Record](t)(Decode(raw))
		if d.ID != r.ID || d.Verify() == nil {
			t.Fatal("malleable")
		}
	})
}

func TestDecodeGivesBackWhatWasSigned(t *testing.T) {
	for _, r := range samples(t) {
		again, err := Decode(r.Raw)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, again); d != "" {
			t.Fatal(d)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range samples(f) {
		f.Add(r.Raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		agree(t, raw)
		if r, err := Decode(raw); err == nil {
			b, err := marshal(r.Body)
			if err != nil || !bytes.Contains(raw, b) {
				t.Fatalf("the body encodes otherwise: %v", err)
			}
		}
	})
}

// TestIsAdmit: what tells an admission agrees with the decoder.
func TestIsAdmit(t *testing.T) {
	admits := 0
	for _, r := range samples(t) {
		if IsAdmit(r.Raw) != (r.Type == TypeAdmit) {
			t.Errorf("a %s is taken for an admission: %v", r.Type, IsAdmit(r.Raw))
		}
		if r.Type == TypeAdmit {
			admits++
		}
	}
	if admits == 0 {
		t.Error("no sample is an admission")
	}
	for _, raw := range [][]byte{nil, {1}, make([]byte, signatureSz), make([]byte, 200)} {
		if IsAdmit(raw) {
			t.Errorf("%x is taken for an admission", raw)
		}
	}
}
