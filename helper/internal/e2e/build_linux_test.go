package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// tmp is where this process builds what KITH_BIN does not give.
var tmp string

func TestMain(m *testing.M) {
	if plainWireGuard() {
		return
	}
	os.Exit(func() int {
		var err error
		if tmp, err = os.MkdirTemp("", "kith-e2e"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(tmp)
		if err := os.Chmod(tmp, 0o755); err != nil { // other users run kith too
			panic(err)
		}
		return m.Run()
	}())
}

// program is the path of kithd or kith: in the directory KITH_BIN, or built
// here, once.
func program(t testing.TB, name string) string {
	t.Helper()
	if dir := os.Getenv("KITH_BIN"); dir != "" {
		return filepath.Join(dir, name)
	}
	if err := builds[name](); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(tmp, name)
}

var builds = map[string]func() error{
	"kithd": sync.OnceValue(func() error { return build("kithd", "kith.internal/helper") }),
	"kith":  sync.OnceValue(func() error { return build("kith", "kith.internal/app/ctl") }),
	"ahead": sync.OnceValue(buildAhead),
}

func build(name, pkg string, flags ...string) error {
	args := append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(tmp, name)}, flags...)
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return &buildError{pkg, err, out}
	}
	return nil
}

type buildError struct {
	pkg string
	err error
	out []byte
}

func (e *buildError) Error() string {
	return "build " + e.pkg + ": " + e.err.Error() + "\n" + string(e.out)
}

// kithdAhead is kithd with a clock that is a day ahead. Linux has no clock a
// namespace for the time of day, so the program is built over a package time
// that reads the clock wrongly; kithd itself is unchanged.
func kithdAhead(t testing.TB) string {
	t.Helper()
	if err := builds["ahead"](); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(tmp, "ahead")
}

func buildAhead() error {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	original := filepath.Join(string(bytes.TrimSpace(out)), "src", "time", "time.go")
	src, err := os.ReadFile(original)
	if err != nil {
		return err
	}
	read := []byte("sec, nsec, mono := runtimeNow()")
	if bytes.Count(src, read) == 0 {
		return &buildError{"time", os.ErrNotExist, []byte("time.Now reads the clock in another way than this test knows")}
	}
	patched := filepath.Join(tmp, "time.go")
	src = bytes.ReplaceAll(src, read, append(read, "; sec += 24 * 60 * 60"...))
	if err := os.WriteFile(patched, src, 0o600); err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: patched}})
	if err != nil {
		return err
	}
	file := filepath.Join(tmp, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return err
	}
	return build("ahead", "kith.internal/helper", "-overlay", file)
}
