package ui

import (
	"context"
	"errors"
	"image/color"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// banner is the strip with the one worst problem.
type banner struct {
	s    *Shell
	box  *fyne.Container
	back *canvas.Rectangle
	icon *widget.Icon
	text *widget.Label
	act  *Button
	more *Button
	now  model.Problem
}

func newBanner(s *Shell) *banner {
	b := &banner{s: s, back: canvas.NewRectangle(color.Transparent), icon: widget.NewIcon(theme.WarningIcon())}
	b.back.CornerRadius = 6
	b.text = widget.NewLabel("")
	b.text.Wrapping = fyne.TextWrapWord
	b.act = newButton("", func() { s.act(b.now, b.now.Action) })
	b.more = newButton("", func() { s.act(b.now, b.now.Other) })
	row := container.NewBorder(nil, nil, container.NewCenter(b.icon), container.NewCenter(container.NewHBox(b.act, b.more)), b.text)
	b.box = container.NewPadded(container.NewStack(b.back, container.NewPadded(row)))
	b.box.Hide()
	return b
}

func (b *banner) set(v model.View) {
	if v.Banner == nil {
		b.box.Hide()
		return
	}
	b.now = *v.Banner
	th, variant := fyne.CurrentApp().Settings().Theme(), fyne.CurrentApp().Settings().ThemeVariant()
	name, icon := theme.ColorNameWarning, theme.WarningIcon()
	switch b.now.Severity {
	case ipc.SeverityError:
		name, icon = theme.ColorNameError, theme.ErrorIcon()
	case ipc.SeverityInfo:
		name, icon = theme.ColorNamePrimary, theme.InfoIcon()
	}
	r, g, bl, _ := th.Color(name, variant).RGBA()
	b.back.FillColor = color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(bl >> 8), 40}
	b.back.Refresh()
	b.icon.SetResource(icon)
	b.text.SetText(model.Say(b.s.env.Text, b.now, b.s.env.Now()))
	for _, x := range []struct {
		b *Button
		a model.Action
	}{{b.act, b.now.Action}, {b.more, b.now.Other}} {
		word := model.ActionWord(b.s.env.Text, x.a)
		x.b.SetText(word)
		show(x.b, word != "" && (v.May || !changes[x.a]))
	}
	b.box.Show()
}

// failed says an error in a dialog; nil is none.
func (s *Shell) failed(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		s.tell("", s.words(err))
	}
}

// tell shows a few words with OK.
func (s *Shell) tell(title, words string) {
	if title == "" {
		title = "Kith"
	}
	d := s.modal(title, para(words))
	ok := newButton(s.say("button.ok"), d.Hide)
	d.SetButtons([]fyne.CanvasObject{ok})
	d.Resize(fyne.NewSize(440, 0))
	d.show(ok)
}

func asIPC(err error) *ipc.Error {
	var e *ipc.Error
	errors.As(err, &e)
	return e
}

// para is text that wraps.
func para(words string) *widget.Label {
	l := widget.NewLabel(words)
	l.Wrapping = fyne.TextWrapWord
	return l
}

// short cuts a text for the corner.
func short(s string) string {
	if r := []rune(s); len(r) > 48 {
		return string(r[:45]) + "…"
	}
	return s
}

// brief cuts a name for a heading in one line; what is asked says it whole.
func brief(s string) string {
	if r := []rune(s); len(r) > 24 {
		return string(r[:23]) + "…"
	}
	return s
}

// wrap breaks a text into lines of at most n characters.
func wrap(s string, n int) string {
	var b strings.Builder
	line := 0
	for _, w := range strings.Fields(s) {
		r := []rune(w)
		if line > 0 && line+1+len(r) > n {
			b.WriteByte('\n')
			line = 0
		} else if line > 0 {
			b.WriteByte(' ')
			line++
		}
		for len(r) > n {
			b.WriteString(string(r[:n]) + "\n")
			r = r[n:]
		}
		b.WriteString(string(r))
		line += len(r)
	}
	return b.String()
}

// enable lets a widget be used, or not.
func enable(w fyne.Disableable, yes bool) {
	if yes {
		w.Enable()
	} else {
		w.Disable()
	}
}

// head is a heading on a page.
func head(words string) *widget.Label {
	l := widget.NewLabelWithStyle(words, fyne.TextAlignLeading, fyne.TextStyle{Bold: true})
	l.SizeName = theme.SizeNameSubHeadingText
	return l
}

// titled is a card whose title is cut where it does not fit.
func titled(title, facts string, body fyne.CanvasObject) fyne.CanvasObject {
	name := bold(title)
	name.SizeName = theme.SizeNameHeadingText
	said := cellText(facts)
	return widget.NewCard("", "", container.New(layout.NewCustomPaddedVBoxLayout(-2*theme.Padding()), name, said, body))
}

// faint is text that steps back.
func faint(words string) *widget.Label {
	l := para(words)
	l.Importance = widget.LowImportance
	return l
}

// bold is one line of bold text, cut where it does not fit.
func bold(words string) *widget.Label {
	l := cell(fyne.TextStyle{Bold: true})
	l.SetText(clean(words))
	return l
}

// danger is text about what went wrong; hidden while it is empty.
func danger() *widget.Label {
	l := para("")
	l.Importance = widget.DangerImportance
	l.Hide()
	return l
}

func say(l *widget.Label, words string) {
	l.SetText(words)
	show(l, words != "")
}

// keyEntry is an entry that passes on keys it has no use for.
type keyEntry struct {
	widget.Entry
	keys func(fyne.KeyName) bool // true: taken
	pass func(fyne.Shortcut)
}

func newKeyEntry(placeholder string, keys func(fyne.KeyName) bool, pass func(fyne.Shortcut)) *keyEntry {
	e := &keyEntry{keys: keys, pass: pass}
	e.PlaceHolder = placeholder
	e.ExtendBaseWidget(e)
	return e
}

func (e *keyEntry) TypedKey(k *fyne.KeyEvent) {
	if (e.keys == nil || !e.keys(k.Name)) && !esc(e, k) {
		e.Entry.TypedKey(k)
	}
}

func (e *keyEntry) TypedShortcut(sc fyne.Shortcut) {
	if _, custom := sc.(*desktop.CustomShortcut); custom {
		e.pass(sc)
		return
	}
	e.Entry.TypedShortcut(sc)
}

// binding is a key with Ctrl or ⌘.
type binding struct {
	key fyne.KeyName
	mod fyne.KeyModifier
	do  func()
}

// shortcuts makes everything reachable by keys.
func (s *Shell) shortcuts() {
	const mod = fyne.KeyModifierShortcutDefault
	s.keys = []binding{
		{fyne.KeyF, mod, s.find},
		{fyne.KeyP, mod, func() { s.pages["devices"].(*devices).ping() }},
		{fyne.KeyE, mod, func() { s.Open("exits") }},
		{fyne.KeyComma, mod, func() { s.Open("settings") }},
		{fyne.KeyJ, mod, func() { s.ShowLink("") }},
		{fyne.KeyC, mod | fyne.KeyModifierShift, func() { s.pages["devices"].(*devices).copyAddress() }},
		{fyne.KeyW, mod, func() { s.unlessSecret(s.win.Close) }},
		{fyne.KeyQ, mod, func() { s.unlessSecret(func() { s.env.Quit(s.env.Prefs().QuitDown) }) }},
	}
	for _, k := range s.keys {
		s.win.Canvas().AddShortcut(&desktop.CustomShortcut{KeyName: k.key, Modifier: k.mod}, func(fyne.Shortcut) { k.do() })
	}
	s.win.Canvas().SetOnTypedKey(func(k *fyne.KeyEvent) {
		if k.Name == fyne.KeyEscape {
			s.escape()
		}
	})
	s.win.Canvas().AddShortcut(&fyne.ShortcutCopy{}, func(fyne.Shortcut) { s.pages["devices"].(*devices).copyName() })
}

// pass does a shortcut that a focused entry does not know.
func (s *Shell) pass(sc fyne.Shortcut) {
	c, ok := sc.(*desktop.CustomShortcut)
	if !ok {
		return
	}
	for _, k := range s.keys {
		if k.key == c.KeyName && k.mod == c.Modifier {
			k.do()
		}
	}
}
