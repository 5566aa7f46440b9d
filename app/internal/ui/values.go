package ui

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
)

// codeValue is an address or a key, which breaks anywhere.
func codeValue(words string) settable { return selectable(words, fyne.TextWrapBreak) }

// wordsValue breaks between words.
func wordsValue(words string) settable { return selectable(words, fyne.TextWrapWord) }

func selectable(words string, wrap fyne.TextWrap) *widget.Label {
	l := widget.NewLabel(words)
	l.Wrapping = wrap
	l.Selectable = true
	return l
}

// nameLabel is a name. One that is too long breaks after a hyphen or a dot, and
// in the middle of a word only where there is neither.
type nameLabel struct {
	widget.Label
	name  string
	width float32
}

func nameValue(name string) settable {
	l := &nameLabel{}
	l.ExtendBaseWidget(l)
	l.SetText(name)
	return l
}

// SetText sets the name.
func (l *nameLabel) SetText(name string) {
	l.name = name
	l.Label.SetText(l.broken())
}

// Resize breaks the name anew where its width changes.
func (l *nameLabel) Resize(size fyne.Size) {
	if size.Width != l.width {
		l.width = size.Width
		if words := l.broken(); words != l.Text {
			l.Label.SetText(words)
		}
	}
	l.Label.Resize(size)
}

// MinSize is as high as the lines are at the width of now; any width will do.
func (l *nameLabel) MinSize() fyne.Size {
	return fyne.NewSize(4*theme.TextSize(), l.Label.MinSize().Height)
}

// broken is the name in lines.
func (l *nameLabel) broken() string {
	if l.width == 0 {
		return l.name
	}
	room := l.width - 2*theme.InnerPadding()
	return breakName(l.name, func(s string) bool { return textWidth(s) <= room })
}

// breakName puts ends of lines into a name so that each line fits.
func breakName(name string, fits func(string) bool) string {
	var b strings.Builder
	line := ""
	flush := func() {
		b.WriteString(line + "\n")
		line = ""
	}
	for rest := name; rest != ""; {
		n := strings.IndexAny(rest, "-.") + 1
		if n == 0 {
			n = len(rest)
		}
		part := rest[:n]
		rest = rest[n:]
		if line != "" && !fits(line+part) {
			flush()
		}
		for _, r := range part {
			if line != "" && !fits(line+string(r)) {
				flush()
			}
			line += string(r)
		}
	}
	return b.String() + line
}
