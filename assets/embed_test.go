package assets

import (
	"bytes"
	"image"
	"image/png"
	"testing"
)

var states = []string{"off", "connecting", "on", "problem", "offline", "exit"}

// TestIconsDifferByShape compares which pixels are inked, not their colour.
func TestIconsDifferByShape(t *testing.T) {
	shape := map[string][]bool{}
	for _, s := range states {
		for _, ink := range []Ink{InkAny, InkLight, InkDark} {
			img, err := png.Decode(bytes.NewReader(Tray(s, ink, false)))
			if err != nil || img.Bounds() != image.Rect(0, 0, 44, 44) {
				t.Fatalf("%s-%s: %v %v", s, ink, err, img)
			}
			var on []bool
			for y := range 44 {
				for x := range 44 {
					_, _, _, a := img.At(x, y).RGBA()
					on = append(on, a > 0x8000)
				}
			}
			shape[s] = on
			if ico := Tray(s, ink, true); !bytes.HasPrefix(ico, []byte{0, 0, 1, 0, 2, 0}) {
				t.Errorf("%s-%s: no ICO", s, ink)
			}
		}
	}
	for i, a := range states {
		for _, b := range states[i+1:] {
			n := 0
			for k := range shape[a] {
				if shape[a][k] != shape[b][k] {
					n++
				}
			}
			if n < 44*44/20 {
				t.Errorf("%s and %s differ in %d pixels only", a, b, n)
			}
		}
	}
}

func TestSources(t *testing.T) {
	for _, n := range append([]string{"kith", "dot-online", "dot-offline", "dot-unknown"}, states...) {
		if !bytes.HasPrefix(SVG(n), []byte("<svg")) {
			t.Errorf("%s: no SVG", n)
		}
	}
	if _, err := png.Decode(bytes.NewReader(App())); err != nil {
		t.Error(err)
	}
}
