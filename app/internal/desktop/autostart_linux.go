package desktop

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// autostartFile is below XDG_CONFIG_HOME.
func autostartFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no place for an autostart file: %w", err)
	}
	return filepath.Join(dir, "autostart", "kith.desktop"), nil
}

// autostartEntry is the desktop entry that starts exe (Desktop Application
// Autostart Specification).
func autostartEntry(exe string) (string, error) {
	return "[Desktop Entry]\nType=Application\nName=Kith\nIcon=kith\nTerminal=false\nExec=" + quoteExec(exe) + " --background\n", nil
}

// quoteExec quotes a path for an Exec line (Desktop Entry Specification, "The
// Exec key"): once for the argument, once for the string it stands in.
func quoteExec(path string) string {
	r := strings.NewReplacer(`\`, `\\\\`, `"`, `\\"`, "`", "\\\\`", `$`, `\\$`, `%`, `%%`, "\n", `\n`)
	return `"` + r.Replace(path) + `"`
}
