//go:build gui

// Command bare is a Fyne window with a label: what Kith's window is measured
// against.
package main

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/app"
	"fyne.io/fyne/v2/widget"
)

func main() {
	a := app.NewWithID("internal.kith.bare")
	w := a.NewWindow("Bare")
	w.SetContent(widget.NewLabel("bare"))
	w.Resize(fyne.NewSize(1040, 660))
	w.ShowAndRun()
}
