package roster

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bytesSource makes the fuzzer's bytes the choices of a random world. Behind
// their end it counts, for a constant would never satisfy rand's rejections.
type bytesSource struct {
	b    []byte
	tail rand.PCG
}

func (s *bytesSource) Uint64() uint64 {
	if len(s.b) == 0 {
		return s.tail.Uint64()
	}
	var w [8]byte
	n := copy(w[:], s.b)
	s.b = s.b[n:]
	return binary.BigEndian.Uint64(w[:])
}

// FuzzEvaluate holds a world of the fuzzer's choice against the rules as they
// read, and what is wanted of it against the whole.
func FuzzEvaluate(f *testing.F) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		b := make([]byte, 800)
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4000 {
			return
		}
		src := &bytesSource{b: b}
		c := newChaos(t, 0)
		c.rng = rand.New(src)
		for n := 0; len(src.b) > 0 && n < 200; n++ {
			c.step()
		}
		compareOracle(t, c.set)
		if d := cmp.Diff(worldOf(c.set.View()), worldOf(wantedOnly(t, c.set).View())); d != "" {
			t.Fatal(d)
		}
		for x := range c.set.View().Explanations() {
			if x.Says == "" || x.Why == "" {
				t.Fatalf("%+v", x)
			}
		}
	})
}

// FuzzAdd offers arbitrary bytes, and mutations of real records, to a set.
func FuzzAdd(f *testing.F) {
	l := family(f)
	for r := range l.set.All() {
		f.Add(r.Raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := l.set.Clone()
		if v, err := s.Add(raw, AddOptions{Verified: true}); v == Unacceptable && err == nil || v == Accepted && err != nil {
			t.Fatal(v, err)
		}
		s.View()
	})
}
