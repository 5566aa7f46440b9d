package desktop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Prefs is what a person has set about the app itself.
type Prefs struct {
	QuitDown bool `json:"quit_down"` // quitting by key disconnects, too
	Welcomed bool `json:"welcomed"`  // where Kith lives was said
}

// PrefsFile keeps Prefs on disk. Where that cannot be written, they last as
// long as the process. Use it from any goroutine.
type PrefsFile struct {
	mu   sync.Mutex
	path string
	now  Prefs
}

// OpenPrefs reads the file; what cannot be read counts as never set.
func OpenPrefs() *PrefsFile {
	f := &PrefsFile{}
	dir, err := os.UserConfigDir()
	if err != nil {
		return f
	}
	f.path = filepath.Join(dir, "kith", "app.json")
	if b, err := os.ReadFile(f.path); err == nil && len(b) < MaxMessage {
		if json.Unmarshal(b, &f.now) != nil {
			f.now = Prefs{}
		}
	}
	return f
}

// Get gives them as they are.
func (f *PrefsFile) Get() Prefs {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// Set changes them; an error says that they are not kept.
func (f *PrefsFile) Set(p Prefs) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = p
	if f.path == "" {
		return fmt.Errorf("keeping settings: this account has no home")
	}
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return fmt.Errorf("keeping settings: %w", err)
	}
	if err := os.WriteFile(f.path+".new", b, 0o600); err != nil {
		return fmt.Errorf("keeping settings: %w", err)
	}
	if err := os.Rename(f.path+".new", f.path); err != nil {
		return fmt.Errorf("keeping settings: %w", err)
	}
	return nil
}

// SaveReport writes a report to a file of its own in the person's home.
func SaveReport(report string, now time.Time) (path string, err error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("saving the report: %w", err)
	}
	path = filepath.Join(home, "kith-report-"+now.Format("20060102-150405")+".txt")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("saving the report: %w", err)
	}
	if _, err = f.WriteString(report); err == nil {
		err = f.Close()
	} else {
		f.Close()
	}
	if err != nil {
		return "", fmt.Errorf("saving the report: %w", err)
	}
	return path, nil
}
