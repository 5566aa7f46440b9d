package ui

import (
	"sort"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// rowCell is a text of a list's row; what does not fit ends in an ellipsis. A
// label that does so shapes its text anew each time, and lists of thousands
// scroll badly with it.
type rowCell struct {
	widget.BaseWidget
	full  string
	ink   fyne.ThemeColorName
	shown *canvas.Text
}

func newRowCell(ink fyne.ThemeColorName, style fyne.TextStyle) *rowCell {
	c := &rowCell{ink: ink, shown: canvas.NewText("", nil)}
	c.shown.TextStyle = style
	c.ExtendBaseWidget(c)
	return c
}

// SetText sets the text.
func (c *rowCell) SetText(s string) {
	if s != c.full {
		c.full = s
		c.cut()
	}
}

// setInk sets the colour, by the theme's name.
func (c *rowCell) setInk(ink fyne.ThemeColorName) {
	if ink != c.ink {
		c.ink = ink
		c.Refresh()
	}
}

// AccessibilityLabel is the text, all of it.
func (c *rowCell) AccessibilityLabel() string { return c.full }

// Resize cuts the text anew where the width changes.
func (c *rowCell) Resize(size fyne.Size) {
	if size == c.Size() {
		return
	}
	c.BaseWidget.Resize(size)
	c.cut()
}

// cut shows as much of the text as there is room for.
func (c *rowCell) cut() {
	room := c.Size().Width - 2*theme.InnerPadding()
	words := shorten(c.full, func(s string) bool {
		return fyne.MeasureText(s, theme.TextSize(), c.shown.TextStyle).Width <= room
	})
	if words != c.shown.Text {
		c.shown.Text = words
		c.shown.Refresh()
	}
}

// shorten is s, or the longest beginning that fits with an ellipsis.
func shorten(s string, fits func(string) bool) string {
	if s == "" || fits(s) {
		return s
	}
	r := []rune(s)
	n := sort.Search(len(r), func(n int) bool { return !fits(string(r[:n+1]) + "…") })
	return string(r[:n]) + "…"
}

// CreateRenderer draws it where a label would stand.
func (c *rowCell) CreateRenderer() fyne.WidgetRenderer {
	r := &rowCellRenderer{c}
	r.Refresh()
	return r
}

type rowCellRenderer struct{ c *rowCell }

func (r *rowCellRenderer) Layout(size fyne.Size) {
	pad := theme.InnerPadding()
	r.c.shown.Move(fyne.NewPos(pad, pad))
	r.c.shown.Resize(size.SubtractWidthHeight(2*pad, 2*pad))
}

func (r *rowCellRenderer) MinSize() fyne.Size {
	pad := theme.InnerPadding()
	return fyne.NewSize(2*pad+theme.TextSize(), fyne.MeasureText("M", theme.TextSize(), r.c.shown.TextStyle).Height+2*pad)
}

// Refresh follows the theme.
func (r *rowCellRenderer) Refresh() {
	r.c.shown.Color, r.c.shown.TextSize = theme.Color(r.c.ink), theme.TextSize()
	r.c.cut()
	r.c.shown.Refresh()
}

func (r *rowCellRenderer) Objects() []fyne.CanvasObject { return []fyne.CanvasObject{r.c.shown} }

func (r *rowCellRenderer) Destroy() {}
