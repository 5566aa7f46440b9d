package desktop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAutostart(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if Autostart() {
		t.Error("on without being asked")
	}
	if err := SetAutostart(false); err != nil {
		t.Error(err)
	}
	if err := SetAutostart(true); err != nil || !Autostart() {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "autostart", "kith.desktop"))
	if err != nil || !strings.Contains(string(b), "--background\n") {
		t.Errorf("%s %v", b, err)
	}
	if err := SetAutostart(false); err != nil || Autostart() {
		t.Error("still on", err)
	}
}

func TestQuoteExec(t *testing.T) {
	if got, want := quoteExec("/opt/a b/$x\"%"), `"/opt/a b/\\$x\\"%%"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestNothingThere(t *testing.T) {
	for _, k := range []string{"DISPLAY", "WAYLAND_DISPLAY"} {
		t.Setenv(k, "")
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "none"))
	if HasDisplay() || HasTray() {
		t.Error("a display or a tray where there is none")
	}
	if err := (&Notifier{}).Notify("a", "b"); err == nil {
		t.Error("notified nobody")
	}
	var c Clipboard
	defer c.Close()
	if err := c.Set("x"); err == nil {
		t.Error("copied to nowhere")
	}
}
