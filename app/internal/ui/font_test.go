package ui

import (
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"golang.org/x/image/font/sfnt"

	"kith.internal/app/internal/text"
)

// TestFontHasAllLetters: no word of ours in the window has a letter for which
// another font steps in, as that one draws the space after it as a box.
func TestFontHasAllLetters(t *testing.T) {
	fonts := map[string]*sfnt.Font{}
	for _, r := range []fyne.Resource{theme.DefaultTextFont(), theme.DefaultTextBoldFont()} {
		f, err := sfnt.Parse(r.Content())
		if err != nil {
			t.Fatal(err)
		}
		fonts[r.Name()] = f
	}
	var buf sfnt.Buffer
	for _, lang := range []string{"en", "de"} {
		for _, sc := range scenes {
			b := newBenchIn(t, text.For(lang))
			b.words = text.For(lang)
			sc.show(b)
			for _, r := range b.texts() {
				for name, f := range fonts {
					if i, err := f.GlyphIndex(&buf, r); r != '\n' && (err != nil || i == 0) {
						t.Errorf("%s, %s: %s has no %q", lang, sc.name, name, r)
					}
				}
			}
		}
	}
}
