package tray

import (
	"fyne.io/systray"

	"kith.internal/assets"
)

func name() {}

// setIcon gives a template, which macOS inks by itself.
func setIcon(state string) {
	img := assets.Tray(state, assets.InkLight, false)
	systray.SetTemplateIcon(img, img)
}

func escape(label string) string { return label }
