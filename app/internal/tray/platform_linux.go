package tray

import (
	"strings"

	"fyne.io/systray"

	"kith.internal/assets"
)

// name gives the item a stable Id, by which panels remember their choices.
func name() { systray.SetTitle("Kith") }

// setIcon uses the ink that shows on any panel: a StatusNotifierItem is not
// told its panel's colour.
func setIcon(state string) { systray.SetIcon(assets.Tray(state, assets.InkAny, false)) }

// escape keeps a label's own underscores from marking an access key.
func escape(label string) string { return strings.ReplaceAll(label, "_", "__") }
