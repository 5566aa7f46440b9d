package tray

import (
	"strings"

	"fyne.io/systray"
	"golang.org/x/sys/windows/registry"

	"kith.internal/assets"
)

func name() {}

func setIcon(state string) { systray.SetIcon(assets.Tray(state, ink(), true)) }

// ink follows the taskbar's colour.
func ink() assets.Ink {
	k, err := registry.OpenKey(registry.CURRENT_USER, `Software\Microsoft\Windows\CurrentVersion\Themes\Personalize`, registry.QUERY_VALUE)
	if err != nil {
		return assets.InkAny
	}
	defer k.Close()
	switch light, _, err := k.GetIntegerValue("SystemUsesLightTheme"); {
	case err != nil:
		return assets.InkAny
	case light != 0:
		return assets.InkLight
	}
	return assets.InkDark
}

// escape keeps a label's own ampersands from marking an access key.
func escape(label string) string { return strings.ReplaceAll(label, "&", "&&") }
