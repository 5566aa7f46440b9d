package discover

import (
	"testing"
)

func TestSealAndOpen(t *testing.T) {
	s, other := newSecret([32]byte{1}), newSecret([32]byte{2})
	for _, c := range []content{{1, [8]byte{}, false}, {65535, [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, true}} {
		b := s.seal(c)
		if got, ok := s.open(b); !ok || got != c {
			t.Errorf("%v became %v, %v", c, got, ok)
		}
		if _, ok := other.open(b); ok {
			t.Error("another secret opened it")
		}
		for i := range b {
			forged := append([]byte(nil), b...)
			forged[i] ^= 1
			if _, ok := s.open(forged); ok && wellFormed(forged) {
				t.Errorf("a change of byte %d passed", i)
			}
		}
	}
	if _, ok := s.open(s.seal(content{})); ok {
		t.Error("port 0 passed")
	}
}

func FuzzAnnouncement(f *testing.F) {
	s := newSecret([32]byte{1})
	f.Add(s.seal(content{20777, [8]byte{1}, true}))
	f.Add(newSecret([32]byte{2}).seal(content{20777, [8]byte{1}, true}))
	f.Add(make([]byte, size))
	f.Add([]byte{version})
	f.Fuzz(func(t *testing.T, b []byte) {
		if !wellFormed(b) {
			return
		}
		if c, ok := s.open(b); ok && c.port == 0 {
			t.Errorf("%x opened as %v", b, c)
		}
	})
}
