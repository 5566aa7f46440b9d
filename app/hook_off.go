//go:build !gui

package main

import (
	"fyne.io/fyne/v2"

	"kith.internal/app/internal/desktop"
)

// hook does nothing: only builds for GUI tests tell where things are.
func hook(fyne.Window, desktop.Message) {}
