package qrscan

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"strings"
	"testing"

	"rsc.io/qr"
)

const link = "kith://join/AagBWCDSAL5wBPxXiq5ECrGiqqnNNLYs75IsuRPpn-aqk1IhRgJkaG9tZQNYIEr2yvjRKaNw3NyhHExbxG5CjviYcO7"

func code(t testing.TB, s string, scale int) []byte {
	t.Helper()
	c, err := qr.Encode(s, qr.M)
	if err != nil {
		t.Fatal(err)
	}
	c.Scale = scale
	return c.PNG()
}

// photo puts a code on a larger, grey picture.
func photo(t *testing.T) []byte {
	t.Helper()
	src, err := png.Decode(bytes.NewReader(code(t, link, 4)))
	if err != nil {
		t.Fatal(err)
	}
	img := image.NewRGBA(image.Rect(0, 0, 900, 700))
	draw.Draw(img, img.Rect, image.NewUniform(color.Gray{0xc0}), image.Point{}, draw.Src)
	draw.Draw(img, src.Bounds().Add(image.Pt(230, 120)), src, image.Point{}, draw.Src)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRead(t *testing.T) {
	huge := code(t, link, 4)
	binary.BigEndian.PutUint32(huge[16:], 1<<30)
	cases := map[string]struct {
		file []byte
		want string
	}{
		"as we draw it":   {code(t, link, 4), link},
		"small":           {code(t, link, 2), link},
		"on a photo":      {photo(t), link},
		"a web address":   {code(t, "https://example.com", 4), ""},
		"no picture":      {[]byte("kith://join/abc"), ""},
		"empty":           {nil, ""},
		"a bomb":          {huge, ""},
		"cut off":         {code(t, link, 4)[:300], ""},
		"17 MB of junk":   {bytes.Repeat([]byte("x"), 17<<20), ""},
		"a picture alone": {blank(t), ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Read(bytes.NewReader(tc.file))
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func blank(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 50, 50))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func FuzzRead(f *testing.F) {
	f.Add(code(f, "kith://join/x", 2))
	f.Add(code(f, "x", 2))
	f.Add([]byte("GIF89a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 32 { // the fuzzer's own time: pictures of many pixels are slow, not wrong
			if cfg, _, err := image.DecodeConfig(bytes.NewReader(b)); err == nil && cfg.Width*cfg.Height > 1<<12 {
				return
			}
		}
		got, err := Read(bytes.NewReader(b))
		if err == nil && !strings.HasPrefix(got, "kith://") {
			t.Errorf("%q", got)
		}
	})
}
