package ui

import (
	"fmt"
	"strings"
	"testing"

	"fyne.io/fyne/v2"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// TestNothingOutsideTheCatalogue draws every scene in a pseudo-language: plain
// words can only be names, figures and what the helper says.
func TestNothingOutsideTheCatalogue(t *testing.T) {
	data := "laptop nas phone vps office-desktop tablet cabin media home oak work internal server relay Debian Ubuntu Windows Android Ben Chris bens-laptop bens-phone reception chris-nas " +
		"Names fine Clock off set it amber canyon ribbon walnut kith http anna DEVICE AAAA CNAME printer corp example icmp tcp new-phone Kith report app service state Connected devices"
	known := map[string]bool{}
	for _, w := range strings.FieldsFunc(data, func(r rune) bool { return r == ' ' }) {
		known[w] = true
	}
	plain := func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-') }
	c := text.Pseudo()
	for _, sc := range scenes {
		if sc.name == "report" || sc.name == "invite" { // English by intent; clicks by English words
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			b := newBenchIn(t, c)
			b.words = c
			sc.show(b)
			for _, line := range strings.Split(b.texts(), "\n") {
				if strings.Contains(line, "~]") || strings.Contains(line, "/") || strings.ContainsAny(line, "áéíóúçñšž") {
					continue
				}
				for _, w := range strings.FieldsFunc(line, plain) {
					if len(w) > 3 && !known[w] {
						t.Errorf("%q of %q is not in the catalogue", w, line)
					}
				}
			}
		})
	}
}

// TestEveryControlHasAName is what a screen reader says: no button of an icon
// alone, no check without words.
func TestEveryControlHasAName(t *testing.T) {
	for _, sc := range scenes {
		b := newBench(t)
		sc.show(b)
		for _, top := range append([]fyne.CanvasObject{b.win.Canvas().Content()}, b.win.Canvas().Overlays().List()...) {
			walk(top, func(o fyne.CanvasObject) {
				a, ok := o.(fyne.Accessible)
				if _, tappable := o.(fyne.Tappable); !ok || !tappable {
					return
				}
				if bt, is := o.(*Button); is && bt.Text == "" && !strings.Contains(a.AccessibilityLabel(), "drop-down") { // Fyne's own, in a SelectEntry
					t.Errorf("%s: a button without words (%s)", sc.name, a.AccessibilityLabel())
				}
				if strings.TrimSpace(a.AccessibilityLabel()) == "" {
					t.Errorf("%s: %T has no label", sc.name, o)
				}
			})
		}
	}
}

// TestOddInput gives names that nobody would choose.
func TestOddInput(t *testing.T) {
	names := []string{strings.Repeat("a", 63), "😀🎉", "\u202eevil", "<b>bold</b>", "a\x00b\x1b[31m", strings.Repeat("x", 100000), "", "سلام", "\xff\xfe"}
	b := newBench(t)
	st := sample()
	for i, n := range names {
		p := peer(1000+i, true)
		p.Name, p.FQDN, p.Key, p.Exit, p.Tags, p.OS = n, n+".home.internal", fmt.Sprint("odd", i), true, []string{n}, &n
		st.Networks[0].Peers = append(st.Networks[0].Peers, p)
		st.Networks[0].Shares = append(st.Networks[0].Shares, ipc.Share{ID: n, Name: n, Label: n, Direction: "in", State: ipc.ShareActive, Devices: []ipc.SharedDevice{{Name: n, FQDN: n}}, Ports: []string{n}, Words: []string{n}})
	}
	st.Health = []ipc.Health{{Code: "new-code", Severity: "odd", Text: strings.Repeat("long ", 10000), Args: map[string]string{"a": "\x00"}}}
	st.State = "odd"
	b.take(st)
	for _, p := range pageNames {
		b.Open(p)
		for _, w := range strings.Split(b.texts(), "\n") {
			if strings.ContainsAny(w, "\x00\x1b\u202e") {
				t.Errorf("%s shows %q", p, w)
			}
		}
		b.capture()
	}
	for i := range b.devices().rows {
		b.devices().list.Select(i)
	}
}

// TestNoPageDrawsInVain counts the work of a change on a page that is not
// shown: none.
func TestNoPageDrawsInVain(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.Open("settings")
	before := b.devices().count.Text
	st := sample()
	st.Networks[0].Peers = st.Networks[0].Peers[:2]
	b.take(st)
	if b.devices().count.Text != before {
		t.Error("Devices was drawn behind Settings")
	}
	b.Open("devices")
	if b.devices().count.Text != "3 devices" {
		t.Error(b.devices().count.Text)
	}
}
