// Command gen renders assets/svg to what each OS wants of a tray icon: PNGs
// for light and dark panels and for panels of unknown colour, and ICO files.
// It is run by go generate in assets.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/fyne-io/oksvg"
	"github.com/srwiley/rasterx"
)

// inks are the colours of a state's shape: "light" stands on light panels,
// "dark" on dark ones, "any" keeps a contrast of 3 to 1 on both.
var inks = map[string]string{"light": "#1f2933", "dark": "#ffffff", "any": "#14978a"}

var states = []string{"off", "connecting", "on", "problem", "offline", "exit"}

func main() {
	for _, s := range states {
		for ink, colour := range inks {
			src := read(s, colour)
			write(s+"-"+ink+".png", encode(render(src, 44)))
			write(s+"-"+ink+".ico", ico(encode(render(src, 16)), 16, encode(render(src, 32)), 32))
		}
	}
	write("kith.png", encode(render(read("kith", ""), 128)))
}

func read(name, ink string) string {
	b, err := os.ReadFile(filepath.Join("svg", name+".svg"))
	if err != nil {
		log.Fatal(err)
	}
	if ink == "" {
		return string(b)
	}
	return strings.ReplaceAll(string(b), "#000000", ink)
}

func render(svg string, size int) image.Image {
	icon, err := oksvg.ReadIconStream(strings.NewReader(svg), oksvg.StrictErrorMode)
	if err != nil {
		log.Fatal(fmt.Errorf("reading SVG: %w", err))
	}
	img := image.NewNRGBA(image.Rect(0, 0, size, size))
	// Drawn on premultiplied pixels and copied, so that edges carry the ink's
	// own colour and not a darker one.
	pre := image.NewRGBA(img.Rect)
	icon.SetTarget(0, 0, float64(size), float64(size))
	icon.Draw(rasterx.NewDasher(size, size, rasterx.NewScannerGV(size, size, pre, pre.Bounds())), 1)
	for y := range size {
		for x := range size {
			img.Set(x, y, pre.At(x, y))
		}
	}
	return img
}

func encode(img image.Image) []byte {
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestCompression}
	if err := enc.Encode(&b, img); err != nil {
		log.Fatal(err)
	}
	return b.Bytes()
}

// ico packs two PNGs into an ICO file (PNG entries are read since Vista).
func ico(a []byte, sizeA int, b []byte, sizeB int) []byte {
	var out bytes.Buffer
	le := binary.LittleEndian
	out.Write(le.AppendUint16(le.AppendUint16(le.AppendUint16(nil, 0), 1), 2))
	offset := uint32(6 + 2*16)
	for _, e := range []struct {
		size int
		data []byte
	}{{sizeA, a}, {sizeB, b}} {
		out.Write([]byte{byte(e.size), byte(e.size), 0, 0})
		out.Write(le.AppendUint16(le.AppendUint16(nil, 1), 32))
		out.Write(le.AppendUint32(le.AppendUint32(nil, uint32(len(e.data))), offset))
		offset += uint32(len(e.data))
	}
	out.Write(a)
	out.Write(b)
	return out.Bytes()
}

func write(name string, data []byte) {
	if err := os.WriteFile(filepath.Join("png", name), data, 0o644); err != nil {
		log.Fatal(err)
	}
}
