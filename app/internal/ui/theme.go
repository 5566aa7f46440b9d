package ui

import (
	"image/color"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/theme"
)

// Theme is Fyne's with Kith's own colour.
func Theme() fyne.Theme { return kithTheme{theme.DefaultTheme()} }

type kithTheme struct{ fyne.Theme }

func (t kithTheme) Color(n fyne.ThemeColorName, v fyne.ThemeVariant) color.Color {
	switch n {
	case theme.ColorNamePrimary, theme.ColorNameHyperlink:
		if v == theme.VariantDark {
			return color.NRGBA{0x14, 0x97, 0x8a, 0xff}
		}
		return color.NRGBA{0x0f, 0x76, 0x6e, 0xff}
	case theme.ColorNameDisabled, theme.ColorNamePlaceHolder, theme.ColorNameInputBorder:
		// Fyne's own are too faint to read: these keep 4.5 to 1.
		if v == theme.VariantDark {
			return color.NRGBA{0x9a, 0xa3, 0xad, 0xff}
		}
		return color.NRGBA{0x64, 0x6c, 0x76, 0xff}
	case theme.ColorNameForegroundOnPrimary:
		return color.White
	case theme.ColorNameSelection:
		return color.NRGBA{0x14, 0x97, 0x8a, 0x40}
	case theme.ColorNameFocus:
		return color.NRGBA{0x14, 0x97, 0x8a, 0x60}
	}
	return t.Theme.Color(n, v)
}
