// Package assets holds the icons: SVG sources and what gen renders from them.
// It imports nothing of ours.
package assets

import "embed"

//go:generate go run ./gen

//go:embed png svg
var files embed.FS

// Ink is for which panel a tray icon is drawn.
type Ink string

const (
	InkAny   Ink = "any"   // the panel's colour is not known
	InkLight Ink = "light" // dark on a light panel; also the macOS template
	InkDark  Ink = "dark"  // white on a dark panel
)

// Tray is the tray icon of a state ("off", "connecting", "on", "problem",
// "offline", "exit") as a PNG of 44 pixels, or as an ICO file.
func Tray(state string, ink Ink, ico bool) []byte {
	ext := ".png"
	if ico {
		ext = ".ico"
	}
	return must("png/" + state + "-" + string(ink) + ext)
}

// App is the program's own icon, a PNG of 128 pixels.
func App() []byte { return must("png/kith.png") }

// SVG is the source of an icon: a state, "kith", "dot-online", "dot-offline"
// or "dot-unknown".
func SVG(name string) []byte { return must("svg/" + name + ".svg") }

func must(name string) []byte {
	b, err := files.ReadFile(name)
	if err != nil {
		panic("assets: " + err.Error()) // a name in our own code is wrong
	}
	return b
}
