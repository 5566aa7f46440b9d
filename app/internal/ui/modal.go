package ui

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/widget"
)

// modal is a dialog that Esc closes, as Cancel does, and that fits a low window.
type modal struct {
	*dialog.CustomDialog
	s    *Shell
	over fyne.CanvasObject // what it is drawn on
	stay bool              // Esc leaves it open
}

// modal makes a dialog; names in its title are to be short.
func (s *Shell) modal(title string, content fyne.CanvasObject) *modal {
	m := &modal{CustomDialog: dialog.NewCustomWithoutButtons(title, container.New(fitting{s.win}, scrolled(content)), s.win), s: s}
	m.SetOnClosed(func() { s.modals = slices.DeleteFunc(s.modals, func(o *modal) bool { return o == m }) })
	return m
}

// Show shows it, the keys at first, unless that is nil.
func (m *modal) show(first fyne.Focusable) {
	m.Show()
	m.over = m.s.win.Canvas().Overlays().Top()
	m.s.modals = append(m.s.modals, m)
	if first != nil {
		m.s.win.Canvas().Focus(first)
	}
}

// Hide closes it. Fyne closes all that stands over it, too: those that do come
// back.
func (m *modal) Hide() {
	c := m.s.win.Canvas()
	var above []fyne.CanvasObject
	if i := slices.Index(c.Overlays().List(), m.over); i >= 0 {
		above = slices.Clone(c.Overlays().List()[i+1:])
	}
	focused := c.Focused()
	m.CustomDialog.Hide()
	for _, o := range above {
		c.Overlays().Add(o)
	}
	if len(above) > 0 && focused != nil {
		c.Focus(focused)
	}
}

// escape closes the dialog on top; a menu or file dialog over it sees to itself.
func (s *Shell) escape() {
	top := s.win.Canvas().Overlays().Top()
	for _, m := range s.modals {
		if m.over == top && top != nil && !m.stay {
			m.Hide()
			return
		}
	}
}

// fitting gives what scrolls the height of its content, less where the window is
// too low for that.
type fitting struct{ win fyne.Window }

// modalFrame is what title, buttons and padding of a dialog take of its height.
const modalFrame = 150

func (f fitting) MinSize(o []fyne.CanvasObject) fyne.Size {
	scroll := o[0].(*container.Scroll)
	want := scroll.Content.MinSize()
	return fyne.NewSize(want.Width, min(want.Height, max(f.win.Canvas().Size().Height-modalFrame, 100)))
}

func (f fitting) Layout(o []fyne.CanvasObject, size fyne.Size) {
	o[0].Move(fyne.NewPos(0, 0))
	o[0].Resize(size)
}

// esc hands Esc to the window of what has the keys and makes nothing of it, and
// tells whether it was that.
func esc(o fyne.CanvasObject, k *fyne.KeyEvent) bool {
	if k.Name != fyne.KeyEscape {
		return false
	}
	if c := fyne.CurrentApp().Driver().CanvasForObject(o); c != nil && c.OnTypedKey() != nil {
		c.OnTypedKey()(k)
	}
	return true
}

// Button is one that Enter presses, too.
type Button struct{ widget.Button }

func newButton(words string, do func()) *Button { return newIconButton(words, nil, do) }

func newIconButton(words string, icon fyne.Resource, do func()) *Button {
	b := &Button{widget.Button{Text: words, Icon: icon, OnTapped: do}}
	b.ExtendBaseWidget(b)
	return b
}

// TypedKey is called by Fyne while it has the keys.
func (b *Button) TypedKey(k *fyne.KeyEvent) {
	switch {
	case esc(b, k):
	case k.Name == fyne.KeyReturn, k.Name == fyne.KeyEnter:
		b.Tapped(nil)
	default:
		b.Button.TypedKey(k)
	}
}

// Check is a check box.
type Check struct{ widget.Check }

func newCheck(words string, changed func(bool)) *Check {
	c := &Check{widget.Check{Text: words, OnChanged: changed}}
	c.ExtendBaseWidget(c)
	return c
}

// TypedKey is called by Fyne while it has the keys.
func (c *Check) TypedKey(k *fyne.KeyEvent) {
	if !esc(c, k) {
		c.Check.TypedKey(k)
	}
}

// choice is one of several, from a menu.
type choice struct{ widget.Select }

func newChoice(options []string, changed func(string)) *choice {
	c := &choice{widget.Select{Options: options, OnChanged: changed}}
	c.ExtendBaseWidget(c)
	return c
}

// TypedKey is called by Fyne while it has the keys.
func (c *choice) TypedKey(k *fyne.KeyEvent) {
	if !esc(c, k) {
		c.Select.TypedKey(k)
	}
}

// pick is an entry with a menu of what others wrote.
type pick struct{ widget.SelectEntry }

func newPick(options []string) *pick {
	p := &pick{}
	p.Wrapping = fyne.TextWrap(fyne.TextTruncateClip)
	p.ExtendBaseWidget(p)
	p.SetOptions(options)
	return p
}

// TypedKey is called by Fyne while it has the keys.
func (p *pick) TypedKey(k *fyne.KeyEvent) {
	if !esc(p, k) {
		p.SelectEntry.TypedKey(k)
	}
}
