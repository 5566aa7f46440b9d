//go:build unix

package store

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDirectoryIsMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	openTest(t, dir)
	st := value(os.Lstat(dir))(t)
	if st.Mode() != os.ModeDir|0o700 {
		t.Errorf("mode %v", st.Mode())
	}
	for _, e := range value(os.ReadDir(dir))(t) {
		if info := value(e.Info())(t); info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
}

func TestUnsafeDirectoryIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		make func(dir string) error
		why  string
	}{
		"others may read":  {func(dir string) error { return os.Mkdir(dir, 0o755) }, "mode is 0755"},
		"group may write":  {func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)) }, "mode is 0770"},
		"we may not write": {func(dir string) error { return os.Mkdir(dir, 0o500) }, "mode is 0500"},
		"a link":           {func(dir string) error { return errors.Join(os.Mkdir(dir+"2", 0o700), os.Symlink(dir+"2", dir)) }, "symbolic link"},
		"a dangling link":  {func(dir string) error { return os.Symlink(dir+"2", dir) }, "symbolic link"},
		"a file":           {func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, "no directory"},
		"keys are a link": {func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Symlink("/etc/passwd", filepath.Join(dir, keysName)))
		}, "keys is no regular file"},
		"state is a directory": {func(dir string) error {
			return errors.Join(os.Mkdir(dir, 0o700), os.Mkdir(filepath.Join(dir, stateName), 0o700))
		}, "state.db is no regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newDir(t)
			must(t, c.make(dir))
			_, err := Open(dir)
			if !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), c.why) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v, want %q", err, c.why)
			}
		})
	}
}

// TestForeignDirectoryIsRefused takes a directory of the system's where the
// test may not give one away.
func TestForeignDirectoryIsRefused(t *testing.T) {
	dir := newDir(t)
	must(t, os.Mkdir(dir, 0o700))
	if err := os.Chown(dir, 65534, 65534); err != nil {
		dir = "/usr"
	}
	if _, err := Open(dir); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), "owns it") {
		t.Errorf("error %v", err)
	}
}

func TestSecondOpener(t *testing.T) {
	s := openTest(t, newDir(t))
	start := time.Now()
	if _, err := Open(s.dir); !errors.Is(err, ErrLocked) {
		t.Errorf("in this process: %v", err)
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("it took %v", d)
	}
	cmd := childCommand(t, exec.Command(os.Args[0]), "open", s.dir, 0)
	if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exitLocked {
		t.Errorf("in another process: %v", err)
	}
	must(t, s.Close())
	cmd = childCommand(t, exec.Command(os.Args[0]), "open", s.dir, 0)
	must(t, cmd.Run())
}
