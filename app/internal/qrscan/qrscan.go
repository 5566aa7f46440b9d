// Package qrscan reads a link from a picture of a QR code. The picture comes
// from anyone: its size is looked at before it is decoded.
package qrscan

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // formats that a picture may have
	_ "image/jpeg"
	_ "image/png"
	"io"
	"strings"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

const (
	maxFile   = 16 << 20 // bytes
	maxPixels = 40 << 20 // of a phone's camera
	maxText   = 4 << 10
)

// ErrNone says that a picture holds no readable QR code of a Kith link.
var ErrNone = errors.New("there is no QR code of a Kith link in that picture")

// Read gives the link in a PNG, JPEG or GIF.
func Read(r io.Reader) (link string, err error) {
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("reading a picture: %w", err)
	}
	cfg, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil || len(b) > maxFile || cfg.Width*cfg.Height > maxPixels || cfg.Width <= 0 || cfg.Height <= 0 {
		return "", ErrNone
	}
	img, _, err := image.Decode(bytes.NewReader(b))
	if err != nil {
		return "", ErrNone
	}
	// The decoder is someone else's, the picture anyone's.
	defer func() {
		if recover() != nil {
			link, err = "", ErrNone
		}
	}()
	bmp, err := gozxing.NewBinaryBitmapFromImage(img)
	if err != nil {
		return "", ErrNone
	}
	hints := map[gozxing.DecodeHintType]any{gozxing.DecodeHintType_TRY_HARDER: true}
	got, err := qrcode.NewQRCodeReader().Decode(bmp, hints)
	if err != nil {
		hints[gozxing.DecodeHintType_PURE_BARCODE] = true
		if got, err = qrcode.NewQRCodeReader().Decode(bmp, hints); err != nil {
			return "", ErrNone
		}
	}
	link = strings.TrimSpace(got.GetText())
	if !strings.HasPrefix(link, "kith://") || len(link) > maxText {
		return "", ErrNone
	}
	return link, nil
}
