package desktop

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// HasDisplay is true: a macOS login has one.
func HasDisplay() bool { return true }

// HasTray is true: there always is a menu bar.
func HasTray() bool { return true }

// X11 is false.
func X11() bool { return false }

// Clipboard sets the pasteboard; macOS keeps the text itself.
type Clipboard struct{}

// Close has nothing to do.
func (*Clipboard) Close() {}

// Set puts a text on the pasteboard.
func (*Clipboard) Set(text string) error {
	cmd := exec.Command("/usr/bin/pbcopy")
	cmd.Env = append(os.Environ(), "LC_CTYPE=UTF-8")
	cmd.Stdin = strings.NewReader(text)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoClipboard, err)
	}
	return nil
}

// Notifier shows notifications.
type Notifier struct{}

// Notify shows one. Title and body are arguments and never part of the script.
func (*Notifier) Notify(title, body string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "/usr/bin/osascript",
		"-e", "on run argv", "-e", "display notification (item 2 of argv) with title (item 1 of argv)", "-e", "end run", title, body).Run()
}

const daemonPlist = "/Library/LaunchDaemons/" + ServiceName + ".plist"

// StartService asks launchd to start the helper; macOS asks the person.
func StartService(ctx context.Context) error {
	if _, err := os.Stat(daemonPlist); err != nil {
		return ErrNoService
	}
	script := `do shell script "/bin/launchctl kickstart system/` + ServiceName + `" with administrator privileges`
	if out, err := exec.CommandContext(ctx, "/usr/bin/osascript", "-e", script).CombinedOutput(); err != nil {
		return fmt.Errorf("starting the service: %w: %s", err, out)
	}
	return nil
}

// Allow makes this account an operator; macOS asks for an administrator.
func Allow(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	kith := filepath.Join(filepath.Dir(exe), "kith")
	if _, err := os.Stat(kith); err != nil {
		return ErrNoAsking
	}
	// Program and user are arguments, never a part of the script.
	cmd := exec.CommandContext(ctx, "/usr/bin/osascript", "-e", "on run argv",
		"-e", `do shell script (quoted form of (item 1 of argv)) & " operator add " & (quoted form of (item 2 of argv)) with administrator privileges`,
		"-e", "end run", kith, strconv.Itoa(os.Getuid()))
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case bytes.Contains(out, []byte("-128")): // userCanceledErr
		return ErrDeclined
	}
	return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
}

// Locale is the language that the person chose, such as "de-DE".
func Locale() string {
	out, err := exec.Command("/usr/bin/defaults", "read", "-g", "AppleLocale").Output()
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(out))
}

// RegisterLinks has nothing to do: the bundle's Info.plist names the scheme.
func RegisterLinks() error { return nil }

// autostartFile is the launch agent's.
func autostartFile() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "Library", "LaunchAgents", "internal.kith.app.plist"), nil
}

// autostartEntry is the launch agent that starts exe (launchd.plist(5)).
func autostartEntry(exe string) (string, error) {
	var quoted bytes.Buffer
	if err := xml.EscapeText(&quoted, []byte(exe)); err != nil {
		return "", err
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0"><dict>
<key>Label</key><string>internal.kith.app</string>
<key>ProgramArguments</key><array><string>` + quoted.String() + `</string><string>--background</string></array>
<key>RunAtLoad</key><true/>
</dict></plist>
`, nil
}
