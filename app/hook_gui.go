//go:build gui

package main

import (
	"encoding/json"
	"os"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/ui"
)

// rect is where a text stands, in pixels of the window.
type rect struct {
	Text       string
	Off        bool // it is a button or check that cannot be clicked
	X, Y, W, H float32
}

// hook writes where each text of the window stands to the file that a "rects"
// message names. It is in builds for GUI tests alone.
func hook(win fyne.Window, m desktop.Message) {
	if m.Verb != "rects" {
		return
	}
	var list []rect
	c := win.Canvas()
	scale := c.Scale()
	tops := append([]fyne.CanvasObject{c.Content()}, c.Overlays().List()...)
	for _, top := range tops {
		walk(top, func(o fyne.CanvasObject, words string) {
			p := fyne.CurrentApp().Driver().AbsolutePositionForObject(o)
			s := o.Size()
			d, ok := o.(fyne.Disableable)
			list = append(list, rect{words, ok && d.Disabled(), p.X * scale, p.Y * scale, s.Width * scale, s.Height * scale})
		})
	}
	b, err := json.Marshal(list)
	if err == nil && os.WriteFile(m.Text+".new", b, 0o600) == nil {
		os.Rename(m.Text+".new", m.Text)
	}
}

func walk(o fyne.CanvasObject, found func(fyne.CanvasObject, string)) {
	if o == nil || !o.Visible() {
		return
	}
	switch w := o.(type) {
	case *fyne.Container:
		for _, c := range w.Objects {
			walk(c, found)
		}
		return
	case *canvas.Text:
		found(o, w.Text)
	case *widget.Button: // Fyne's own
		found(o, w.Text)
		return
	case *ui.Button:
		found(o, w.Text)
		return
	case *widget.Label:
		found(o, w.Text)
		return
	case *ui.Check:
		found(o, w.Text)
		return
	}
	if w, ok := o.(fyne.Widget); ok {
		for _, c := range test.WidgetRenderer(w).Objects() {
			walk(c, found)
		}
	}
}
