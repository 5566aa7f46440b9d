package frame

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type sample struct {
	A []byte `cbor:"1,keyasint,omitempty"`
	B uint64 `cbor:"2,keyasint,omitempty"`
}

func TestRoundTrip(t *testing.T) {
	var b bytes.Buffer
	want := []sample{{A: []byte("x"), B: 7}, {}}
	for _, s := range want {
		if err := Write(&b, s); err != nil {
			t.Fatal(err)
		}
	}
	for _, w := range want {
		var got sample
		if err := Read(&b, Max, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(w, got); d != "" {
			t.Error(d)
		}
	}
	var s sample
	if err := Read(&b, Max, &s); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

func TestLimits(t *testing.T) {
	var s sample
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"over the limit": {[]byte{0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9}, ErrTooLarge},
		"cut short":      {[]byte{0, 0, 0, 4, 0xa0}, io.ErrUnexpectedEOF},
		"no length":      {[]byte{0, 0}, io.ErrUnexpectedEOF},
	} {
		if err := Read(bytes.NewReader(c.in), 8, &s); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := Write(io.Discard, sample{A: make([]byte, Max)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a message over the maximum was sent: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	Write(&b, sample{A: []byte("seed"), B: 1})
	f.Add(b.Bytes())
	f.Add([]byte{0, 0, 0, 1, 0xbf})
	f.Fuzz(func(t *testing.T, in []byte) {
		var s sample
		if Read(bytes.NewReader(in), 1<<12, &s) == nil {
			var again bytes.Buffer
			if err := Write(&again, s); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "",
		"a plain word, ~ too":    "a plain word, ~ too",
		"\x1b[31mred\n\x00\x7f":  "?[31mred???",
		"n\u00e4her \u202eback":  "n?her ?back",
		"\xff\xfe":               "??",
		strings.Repeat("x", 201): strings.Repeat("x", 200),
	} {
		if got := Clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
