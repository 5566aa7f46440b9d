package desktop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPrefs(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	f := OpenPrefs()
	if f.Get() != (Prefs{}) {
		t.Error("something is set at first")
	}
	want := Prefs{QuitDown: true, Welcomed: true}
	if err := f.Set(want); err != nil {
		t.Fatal(err)
	}
	if got := OpenPrefs().Get(); got != want {
		t.Errorf("kept %+v", got)
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "kith", "app.json")
	for _, junk := range []string{"", "null", "[]", `{"welcomed":7}`, strings.Repeat("x", 1<<20), "\x00"} {
		if err := os.WriteFile(file, []byte(junk), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := OpenPrefs().Get(); got != (Prefs{}) {
			t.Errorf("%.10q gives %+v", junk, got)
		}
	}
}

// TestPrefsThatCannotBeKept is a home that nobody can write to: a file stands
// where the folder would, which stops root, too.
func TestPrefsThatCannotBeKept(t *testing.T) {
	home := t.TempDir()
	config := filepath.Join(home, "config")
	if err := os.WriteFile(config, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", config)
	t.Setenv("XDG_CONFIG_HOME", config)
	f := OpenPrefs()
	if err := f.Set(Prefs{Welcomed: true}); err == nil {
		t.Error("kept in a home that cannot be written to")
	}
	if !f.Get().Welcomed {
		t.Error("forgotten at once")
	}
	if path, err := SaveReport("x", time.Now()); err == nil {
		t.Errorf("a report at %s", path)
	}
	if err := SetAutostart(true); err == nil {
		t.Error("autostart in a home that cannot be written to")
	}
}

func TestSaveReport(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	path, err := SaveReport("a report", now)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
	if _, err := SaveReport("another", now); err == nil {
		t.Error("an older report is written over")
	}
}
