package desktop

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func autostartFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("no place for an autostart file: %w", err)
	}
	return filepath.Join(dir, "autostart", "kith.desktop"), nil
}

// Autostart tells whether the app starts at login.
func Autostart() bool {
	path, err := autostartFile()
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}

// SetAutostart makes the app start at login, or no longer.
func SetAutostart(on bool) error {
	path, err := autostartFile()
	if err != nil {
		return err
	}
	if !on {
		if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	entry := "[Desktop Entry]\nType=Application\nName=Kith\nIcon=kith\nTerminal=false\nExec=" + quoteExec(exe) + " --background\n"
	return os.WriteFile(path, []byte(entry), 0o644)
}

// quoteExec quotes a path for an Exec line (Desktop Entry Specification, "The
// Exec key"): once for the argument, once for the string it stands in.
func quoteExec(path string) string {
	r := strings.NewReplacer(`\`, `\\\\`, `"`, `\\"`, "`", "\\\\`", `$`, `\\$`, `%`, `%%`, "\n", `\n`)
	return `"` + r.Replace(path) + `"`
}
