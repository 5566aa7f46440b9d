package link

import (
	"errors"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	join, _ := testJoin().Encode()
	share, _ := testShare().Encode()
	bare := testJoin()
	bare.Endpoints, bare.Relays = nil, nil
	short, _ := bare.Encode()
	for _, s := range []string{join, share, short} {
		f.Add(s)
		f.Add(strings.Replace(s, "join", "share", 1))
		f.Add(s[:len(s)/2])
		f.Add(s + "A")
	}
	f.Add("kith://other/AA")
	f.Fuzz(func(t *testing.T, s string) { oneSpelling(t, s) })
}

// FuzzPayload reaches behind the checksum.
func FuzzPayload(f *testing.F) {
	join, _ := testJoin().Encode()
	share, _ := testShare().Encode()
	f.Add(false, payload(f, join))
	f.Add(true, payload(f, share))
	f.Add(false, []byte{version, 0xa0})
	f.Add(false, []byte{version, 0xbf, 0xff})
	f.Fuzz(func(t *testing.T, isShare bool, b []byte) {
		kind := kindJoin
		if isShare {
			kind = kindShare
		}
		oneSpelling(t, raw(kind, b))
	})
}

func oneSpelling(t *testing.T, s string) {
	l, err := Parse(s)
	if err != nil {
		if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrVersion) && !errors.Is(err, ErrKind) {
			t.Fatalf("untyped error %v", err)
		}
		return
	}
	again, err := l.(interface{ Encode() (string, error) }).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if again != strings.TrimSpace(s) || len(again) > MaxLen {
		t.Fatalf("%s\nis also spelt\n%s", s, again)
	}
}
