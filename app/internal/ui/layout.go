package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
)

// columns lays a row out in columns: a width over 1 is fixed, under 1 a share
// of what the fixed ones leave.
type columns []float32

func (c columns) MinSize(objects []fyne.CanvasObject) fyne.Size {
	var size fyne.Size
	for i, o := range objects {
		m := o.MinSize()
		size.Height = max(size.Height, m.Height)
		if c[i] > 1 {
			size.Width += c[i]
		} else {
			size.Width += 40
		}
	}
	return size
}

func (c columns) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	rest := size.Width
	for _, w := range c {
		if w > 1 {
			rest -= w
		}
	}
	x := float32(0)
	for i, o := range objects {
		w := c[i]
		if w <= 1 {
			w *= rest
		}
		h := min(o.MinSize().Height, size.Height)
		o.Move(fyne.NewPos(x, (size.Height-h)/2))
		o.Resize(fyne.NewSize(w, h))
		x += w
	}
}

// fixedWidth lays one object out at a width.
type fixedWidth float32

func (w fixedWidth) MinSize(o []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(float32(w), o[0].MinSize().Height)
}

func (w fixedWidth) Layout(o []fyne.CanvasObject, size fyne.Size) {
	o[0].Resize(fyne.NewSize(float32(w), size.Height))
	o[0].Move(fyne.NewPos((size.Width-float32(w))/2, 0))
}

// flow lays objects out two a row where both fit, else one.
type flow struct{}

// flowWidth is what two objects may take side by side.
const flowWidth = 280

// rows are the visible objects, one or two a row.
func (flow) rows(objects []fyne.CanvasObject) (rows [][]fyne.CanvasObject) {
	half := (flowWidth - theme.Padding()) / 2
	narrow := func(o fyne.CanvasObject) bool { return o.MinSize().Width <= half }
	for _, o := range objects {
		if !o.Visible() {
			continue
		}
		if n := len(rows); n > 0 && len(rows[n-1]) == 1 && narrow(o) && narrow(rows[n-1][0]) {
			rows[n-1] = append(rows[n-1], o)
			continue
		}
		rows = append(rows, []fyne.CanvasObject{o})
	}
	return rows
}

func (f flow) MinSize(objects []fyne.CanvasObject) (size fyne.Size) {
	for _, row := range f.rows(objects) {
		w, h := float32(0), float32(0)
		for _, o := range row {
			w, h = max(w, o.MinSize().Width), max(h, o.MinSize().Height)
		}
		n := float32(len(row))
		size.Width = max(size.Width, w*n+theme.Padding()*(n-1))
		size.Height += h + theme.Padding()
	}
	size.Height = max(size.Height-theme.Padding(), 0)
	return size
}

func (f flow) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	pad, y := theme.Padding(), float32(0)
	for _, row := range f.rows(objects) {
		n := float32(len(row))
		w, h := (size.Width-pad*(n-1))/n, float32(0)
		for i, o := range row {
			h = max(h, o.MinSize().Height)
			o.Move(fyne.NewPos(float32(i)*(w+pad), y))
			o.Resize(fyne.NewSize(w, o.MinSize().Height))
		}
		y += h + pad
	}
}

// scrolled scrolls an object, which leaves the bar room at its right.
func scrolled(o fyne.CanvasObject) *container.Scroll {
	return container.NewVScroll(container.New(layout.NewCustomPaddedLayout(0, 0, 0, theme.Padding()+theme.ScrollBarSmallSize()), o))
}
