// Command gen renders assets/svg to what each OS wants: tray icons as PNGs for
// light and dark panels and for panels of unknown colour, and as ICO files; the
// program's own icon as PNG, ICO and ICNS. "make icons" runs it in assets.
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
	for name, data := range all() {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// all are the files to write, by their paths in assets.
func all() map[string][]byte {
	files := map[string][]byte{}
	for _, s := range states {
		for ink, colour := range inks {
			src := read(s, colour)
			files["png/"+s+"-"+ink+".png"] = encode(render(src, 44))
			files["png/"+s+"-"+ink+".ico"] = ico(at(src, 16, 32))
		}
	}
	src := read("kith", "")
	files["png/kith.png"] = encode(render(src, 128))
	// The program's own icon as installers want it.
	files["app/kith.ico"] = ico(at(src, 16, 32, 48, 256))
	files["app/kith.icns"] = icns(at(src, 16, 32, 128, 256, 512))
	return files
}

// sized is a PNG of so many pixels each way.
type sized struct {
	size int
	data []byte
}

func at(src string, sizes ...int) (list []sized) {
	for _, n := range sizes {
		list = append(list, sized{n, encode(render(src, n))})
	}
	return list
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

// ico packs PNGs into an ICO file (PNG entries are read since Vista).
func ico(list []sized) []byte {
	var out bytes.Buffer
	le := binary.LittleEndian
	out.Write(le.AppendUint16(le.AppendUint16(le.AppendUint16(nil, 0), 1), uint16(len(list))))
	offset := 6 + 16*len(list)
	for _, e := range list {
		out.Write([]byte{byte(e.size), byte(e.size), 0, 0}) // 256 is written as 0
		out.Write(le.AppendUint16(le.AppendUint16(nil, 1), 32))
		out.Write(le.AppendUint32(le.AppendUint32(nil, uint32(len(e.data))), uint32(offset)))
		offset += len(e.data)
	}
	for _, e := range list {
		out.Write(e.data)
	}
	return out.Bytes()
}

// icnsTypes are the entries of an ICNS file that hold PNGs, by size.
var icnsTypes = map[int]string{16: "icp4", 32: "icp5", 128: "ic07", 256: "ic08", 512: "ic09"}

// icns packs PNGs into an ICNS file (macOS 10.7 and later): a header of type and
// length, then each entry with one.
func icns(list []sized) []byte {
	var body bytes.Buffer
	entry := func(to *bytes.Buffer, kind string, data []byte) {
		to.WriteString(kind)
		to.Write(binary.BigEndian.AppendUint32(nil, uint32(8+len(data))))
		to.Write(data)
	}
	for _, e := range list {
		entry(&body, icnsTypes[e.size], e.data)
	}
	var out bytes.Buffer
	entry(&out, "icns", body.Bytes())
	return out.Bytes()
}
