//go:build gui

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kith.internal/app/internal/desktop"
)

// app is the program under test, built once with the hook that tells where
// texts stand and with Fyne's check of threads.
var app string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kith-e2e")
	if err != nil {
		panic(err)
	}
	app = filepath.Join(dir, "kith-app")
	cmd := exec.Command("go", "build", "-tags", "gui,gles,no_emoji", "-o", app, "kith.internal/app")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building kith-app: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// bed is a desktop of its own: an X server, a window manager, a session bus.
type bed struct {
	t    *testing.T
	env  []string
	run  string // XDG_RUNTIME_DIR
	host *host
	sock string // KITH_SOCKET
	log  *logs
	uid  uint32 // whose account it is; 0: the test's
}

// logs collects what the app says on stderr.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// busConf is that of a session bus, but for the account, which may be another
// than the panel's.
const busConf = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
<type>session</type>
<listen>unix:tmpdir=/tmp</listen>
<auth>EXTERNAL</auth>
<standard_session_servicedirs/>
<policy context="default">
<allow user="*"/>
<allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/>
<allow own="*"/>
</policy>
</busconfig>
`

func newBed(t *testing.T, dark bool, xargs ...string) *bed {
	t.Helper()
	// Socket paths are short; t.TempDir's can be too long.
	dir, err := os.MkdirTemp("", "kb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bed{t: t, run: filepath.Join(dir, "run"), sock: filepath.Join(dir, "kithd.sock"), log: &logs{}}
	for _, d := range []string{b.run, filepath.Join(dir, "home", ".cache")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.welcomed(true)
	theme := "light"
	if dark {
		theme = "dark"
	}
	b.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "XDG_RUNTIME_DIR=" + b.run, "KITH_SOCKET=" + b.sock,
		"FYNE_THEME=" + theme, "FYNE_SCALE=1", "LANG=C.UTF-8",
	}
	display := b.line("Xvfb", append([]string{"-displayfd", "1", "-screen", "0", "1280x860x24", "-nolisten", "tcp"}, xargs...)...)
	b.env = append(b.env, "DISPLAY=:"+display)
	conf := filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(conf, []byte(busConf), 0o644); err != nil {
		t.Fatal(err)
	}
	bus := b.line("dbus-daemon", "--config-file="+conf, "--nofork", "--print-address")
	b.env = append(b.env, "DBUS_SESSION_BUS_ADDRESS="+bus)
	b.spawn("openbox")
	b.host = newHost(t, bus)
	t.Cleanup(func() {
		if s := b.log.String(); strings.Contains(s, "Error in Fyne call thread") || strings.Contains(s, "panic:") {
			t.Errorf("the app complains:\n%s", s)
		}
		if t.Failed() {
			t.Logf("the app's stderr:\n%s", b.log.String())
		}
	})
	return b
}

// welcomed says whether this account has seen the words of welcome.
func (b *bed) welcomed(yes bool) {
	b.t.Helper()
	file := filepath.Join(filepath.Dir(b.run), "home", ".config", "kith", "app.json")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"welcomed":%v}`, yes), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// spawn runs a program of the desktop until the test ends.
func (b *bed) spawn(name string, args ...string) *exec.Cmd {
	b.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = b.env
	b.start(cmd)
	return cmd
}

func (b *bed) start(cmd *exec.Cmd) {
	b.t.Helper()
	if err := cmd.Start(); err != nil {
		b.t.Fatalf("%s: %v (apt-get install xvfb openbox dbus xdotool imagemagick)", cmd.Path, err)
	}
	b.t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		late := time.AfterFunc(3*time.Second, func() { cmd.Process.Kill() })
		defer late.Stop()
		cmd.Wait()
	})
}

// line runs a program and reads the line by which it tells its address.
func (b *bed) line(name string, args ...string) string {
	b.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = b.env
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	b.start(cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.t.Fatalf("%s: %v", name, err)
	}
	go io.Copy(io.Discard, out)
	return strings.TrimSpace(line)
}

// launch starts the app; it ends with the test.
func (b *bed) launch(args ...string) *exec.Cmd {
	b.t.Helper()
	cmd := exec.Command(app, args...)
	cmd.Env = b.env
	cmd.Stderr = b.log
	if b.uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: b.uid, Gid: b.uid}}
	}
	b.start(cmd)
	return cmd
}

// as gives the desktop to another account of this machine; its X server has to
// let all in.
func (b *bed) as(uid uint32) {
	b.t.Helper()
	b.uid = uid
	dir := filepath.Dir(b.run)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(uid), int(uid))
	})
	if err == nil {
		err = os.Chmod(filepath.Dir(app), 0o755)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// once runs the app and waits for it.
func (b *bed) once(args ...string) (code int, stderr string) {
	var errs bytes.Buffer
	cmd := exec.Command(app, args...)
	cmd.Env = b.env
	cmd.Stderr = &errs
	cmd.Run()
	return cmd.ProcessState.ExitCode(), errs.String()
}

// tool runs xdotool and the like on this display.
func (b *bed) tool(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = b.env
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// patience is for what a busy machine takes long for.
const patience = time.Minute

// until waits for a condition.
func (b *bed) until(what string, ok func() bool) {
	b.t.Helper()
	start := time.Now()
	for time.Since(start) < patience {
		if ok() {
			if took := time.Since(start); took > 3*time.Second { // what makes this tier slow
				b.t.Logf("%v for %s", took.Round(time.Second), what)
			}
			return
		}
		<-time.After(30 * time.Millisecond)
	}
	b.shot("failed")
	b.t.Fatalf("waited in vain for %s; texts: %v", what, b.texts())
}

// rect is where a text stands in the window.
type rect struct {
	Text       string
	Off        bool // it is a button or check that cannot be clicked
	X, Y, W, H float64
}

// rects asks the window where its texts stand.
func (b *bed) rects() []rect {
	file := filepath.Join(b.run, "rects.json")
	os.Remove(file)
	dir := filepath.Join(b.run, "kith-app")
	if desktop.Send(dir, "window", desktop.Message{Verb: "rects", Text: file}) != nil {
		return nil
	}
	for range 1000 {
		if raw, err := os.ReadFile(file); err == nil {
			var list []rect
			if json.Unmarshal(raw, &list) == nil {
				return list
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	return nil
}

func (b *bed) texts() (list []string) {
	for _, r := range b.rects() {
		if r.Text != "" {
			list = append(list, r.Text)
		}
	}
	return list
}

// find gives the last text that is or begins so: dialogs come after pages.
func (b *bed) find(begin string) (rect, bool) {
	list := b.rects()
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Text == begin {
			return list[i], true
		}
	}
	for i := len(list) - 1; i >= 0; i-- {
		if strings.HasPrefix(list[i].Text, begin) {
			return list[i], true
		}
	}
	return rect{}, false
}

func (b *bed) see(begin string) {
	b.t.Helper()
	b.until(fmt.Sprintf("the text %q", begin), func() bool { _, ok := b.find(begin); return ok })
}

// window is the X window's ID.
func (b *bed) window() string {
	b.t.Helper()
	var id string
	b.until("the window", func() bool {
		out, err := b.tool("xdotool", "search", "--onlyvisible", "--name", "^Kith$")
		id, _, _ = strings.Cut(out, "\n")
		return err == nil && id != ""
	})
	return id
}

// click clicks the middle of a text, once it can be clicked and stands still: it
// is where it was when the pointer has come to it.
func (b *bed) click(begin string) {
	b.t.Helper()
	win := b.window()
	b.until(fmt.Sprintf("the text %q to stand still and be enabled", begin), func() bool {
		r, ok := b.find(begin)
		if !ok || r.Off {
			return false
		}
		x, y := fmt.Sprint(int(r.X+r.W/2)), fmt.Sprint(int(r.Y+r.H/2))
		if r.W > 300 { // a check's box is at its left
			x = fmt.Sprint(int(r.X + 16))
		}
		// --sync waits long for a pointer that is there already: it comes from the corner.
		if out, err := b.tool("xdotool", "mousemove", "0", "0", "mousemove", "--sync", "--window", win, x, y); err != nil {
			b.t.Fatalf("pointing at %q: %v %s", begin, err, out)
		}
		if now, ok := b.find(begin); !ok || now != r {
			return false
		}
		if out, err := b.tool("xdotool", "click", "1"); err != nil {
			b.t.Fatalf("clicking %q: %v %s", begin, err, out)
		}
		return true
	})
}

// focused waits until the window has the keys.
func (b *bed) focused() {
	b.t.Helper()
	b.until("the window to have the keys", func() bool {
		name, err := b.tool("xdotool", "getwindowfocus", "getwindowname")
		return err == nil && name == "Kith"
	})
}

func (b *bed) typing(s string) {
	b.t.Helper()
	b.focused()
	if out, err := b.tool("xdotool", "type", "--delay", "5", s); err != nil {
		b.t.Fatalf("typing: %v %s", err, out)
	}
}

func (b *bed) key(keys ...string) {
	b.t.Helper()
	b.focused()
	if out, err := b.tool("xdotool", append([]string{"key"}, keys...)...); err != nil {
		b.t.Fatalf("keys: %v %s", err, out)
	}
}

// shot keeps a picture of the screen as an artefact and checks that it is not
// one colour.
func (b *bed) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("KITH_ARTEFACTS")
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "kith-shots")
	}
	os.MkdirAll(dir, 0o755)
	file := filepath.Join(dir, strings.ReplaceAll(b.t.Name(), "/", "_")+"-"+name+".png")
	// Twice the same: what is on show has been drawn. A cursor may blink.
	var last []byte
	for range 4 {
		<-time.After(300 * time.Millisecond)
		if out, err := b.tool("import", "-window", "root", "-strip", file); err != nil {
			b.t.Errorf("screenshot: %v %s", err, out)
			return
		}
		now, _ := os.ReadFile(file)
		if bytes.Equal(last, now) {
			break
		}
		last = now
	}
	f, err := os.Open(file)
	if err != nil {
		b.t.Error(err)
		return
	}
	defer f.Close()
	if img, err := png.Decode(f); err != nil || img.Bounds().Dx() < 1000 {
		b.t.Errorf("screenshot %s: %v", name, err)
	}
}

// clipboard pastes, as another program would.
func (b *bed) clipboard() string { return b.host.paste(b) }
