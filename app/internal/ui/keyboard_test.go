package ui

import (
	"fmt"
	"testing"

	"fyne.io/fyne/v2"
)

// TestEverythingIsReachedByTab: on each page and in each dialog the Tab key comes
// to every control that can be used.
func TestEverythingIsReachedByTab(t *testing.T) {
	for _, sc := range scenes {
		b := newBench(t)
		sc.show(b)
		c := b.win.Canvas()
		tops := append([]fyne.CanvasObject{c.Content()}, c.Overlays().List()...)
		want := map[fyne.Focusable]string{}
		walk(tops[len(tops)-1], func(o fyne.CanvasObject) {
			if f, ok := o.(fyne.Focusable); ok {
				if d, ok := o.(fyne.Disableable); !ok || !d.Disabled() {
					want[f] = name(o)
				}
			}
		})
		if len(want) == 0 {
			t.Errorf("%s: nothing to use", sc.name)
		}
		for range 2*len(want) + 2 {
			c.FocusNext()
			delete(want, c.Focused())
		}
		for _, n := range want {
			t.Errorf("%s: the Tab key never comes to %s", sc.name, n)
		}
	}
}

// name tells which control it is.
func name(o fyne.CanvasObject) string {
	switch w := o.(type) {
	case *Button:
		return "the button " + w.Text
	case *Check:
		return "the check " + w.Text
	}
	return fmt.Sprintf("%T", o)
}
