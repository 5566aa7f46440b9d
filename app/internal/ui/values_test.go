package ui

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestBreakName(t *testing.T) {
	fits := func(s string) bool { return utf8.RuneCountInString(s) <= 10 }
	for name, want := range map[string]string{
		"":                         "",
		"nas":                      "nas",
		"nas.home.internal":        "nas.home.\ninternal",
		"office-desktop.home":      "office-\ndesktop.\nhome",
		"a-name-of-a-device":       "a-name-of-\na-device",
		"abcdefghijklmnopqrstuvw":  "abcdefghij\nklmnopqrst\nuvw",
		"a.abcdefghijklmnop.b":     "a.\nabcdefghij\nklmnop.b",
		"ärgerlich-über-größe.gut": "ärgerlich-\nüber-\ngröße.gut",
	} {
		if d := cmp.Diff(want, breakName(name, fits)); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

// TestLongNameInDetails: no line of a name ends in the middle of a word, at any
// width of the window.
func TestLongNameInDetails(t *testing.T) {
	b := newBench(t)
	st := status(2)
	name := "office-desktop-with-a-rather-long-name-that-fills-the-row-up"
	st.Networks[0].Peers[0].Name, st.Networks[0].Peers[0].FQDN = name, name+".home.internal"
	b.take(st)
	b.devices().list.Select(1)
	if b.devices().detail.dev.Peer.Name != name {
		b.devices().list.Select(0)
	}
	for _, w := range []float32{800, 1040, 1400} {
		size := b.win.Canvas().Size()
		size.Width = w
		b.win.Resize(size)
		b.capture()
		shown := b.devices().detail.grid.Objects[1].(*nameLabel).Text
		if strings.ReplaceAll(shown, "\n", "") != name+".home.internal" {
			t.Errorf("%v wide: %q", w, shown)
		}
		lines := strings.Split(shown, "\n")
		for _, l := range lines[:len(lines)-1] {
			if !strings.HasSuffix(l, "-") && !strings.HasSuffix(l, ".") {
				t.Errorf("%v wide: a line ends with %q", w, l)
			}
		}
	}
}

func TestShorten(t *testing.T) {
	fits := func(s string) bool { return utf8.RuneCountInString(s) <= 5 }
	for s, want := range map[string]string{"": "", "abcde": "abcde", "abcdef": "abcd…", "äöüßéñ": "äöüß…"} {
		if got := shorten(s, fits); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
	if got := shorten("abc", func(string) bool { return false }); got != "…" {
		t.Errorf("no room: %q", got)
	}
}
