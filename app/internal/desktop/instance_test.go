package desktop

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOneInstance(t *testing.T) {
	dir := t.TempDir()
	if err := Send(dir, "tray", Message{Verb: MsgOpen}); err == nil {
		t.Fatal("told somebody where nobody is")
	}
	got := make(chan Message, 4)
	in, err := Claim(dir, "tray", func(m Message) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(filepath.Join(dir, "tray.sock")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v", fi, err)
	}
	if _, err := Claim(dir, "tray", nil); !errors.Is(err, ErrTaken) {
		t.Errorf("a second claim: %v", err)
	}
	m := Message{Verb: MsgOpen, Page: "join", Link: "kith://join/abc"}
	if err := Send(dir, "tray", m); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, <-got); d != "" {
		t.Error(d)
	}
	in.Close()
	again, err := Claim(dir, "tray", func(Message) {})
	if err != nil {
		t.Fatalf("claiming again: %v", err)
	}
	again.Close()
}

func TestStaleSocket(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, "tray.sock"))
	if err != nil {
		t.Fatal(err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close()
	in, err := Claim(dir, "tray", func(Message) {})
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
}

// TestJunk sends what is no message; the next one still arrives.
func TestJunk(t *testing.T) {
	dir := t.TempDir()
	got := make(chan Message, 4)
	in, err := Claim(dir, "tray", func(m Message) { got <- m })
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, junk := range []string{"", "\x00\xff", "{", `{"verb":1}`, `{"verb":"open","link":"` + strings.Repeat("x", 1<<20) + `"}`, `{"verb":"open","link":"` + strings.Repeat("x", 5000) + `"}`} {
		conn, err := net.Dial("unix", filepath.Join(dir, "tray.sock"))
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(junk))
		conn.(*net.UnixConn).CloseWrite()
		conn.Read(make([]byte, 8))
		conn.Close()
	}
	if err := Send(dir, "tray", Message{Verb: MsgQuit}); err != nil {
		t.Fatal(err)
	}
	if m := <-got; m.Verb != MsgQuit || len(got) != 0 {
		t.Errorf("junk was taken for %+v", m)
	}
}

func TestDirIsPrivate(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", base)
	os.Mkdir(filepath.Join(base, "kith-app"), 0o755)
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	if fi, _ := os.Stat(dir); fi.Mode().Perm() != 0o700 {
		t.Errorf("mode %v", fi.Mode())
	}
	os.Remove(dir)
	os.Symlink("/tmp", dir)
	if _, err := Dir(); err == nil {
		t.Error("a symlink was taken for the directory")
	}
}

func FuzzReadMessage(f *testing.F) {
	for _, s := range []string{`{"verb":"open","page":"join","link":"kith://join/x"}`, "{", "null", `{"on":true}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if m, err := ReadMessage(strings.NewReader(s)); err == nil && len(m.Link) > MaxLink {
			t.Error("a link too long")
		}
	})
}

// TestReach: a message comes through to one who has the role and is about to
// listen; where that one has gone, its role is taken.
func TestReach(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockFile(filepath.Join(dir, "tray.lock"))
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan Message, 1)
	var in *Instance
	tries := 0
	claim := func() error {
		if tries++; tries == 3 { // it listens at last
			ln, err := listen(dir, "tray")
			if err != nil {
				return err
			}
			in = &Instance{ln: ln, lock: lock}
			in.wg.Add(1)
			go in.serve(func(m Message) { got <- m })
		}
		again, err := Claim(dir, "tray", nil)
		if err == nil {
			again.Close()
		}
		return err
	}
	m := Message{Verb: MsgOpen, Link: "kith://join/abc"}
	if err := Reach(dir, "tray", m, claim); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, <-got); d != "" {
		t.Error(d)
	}
	in.Close()

	if lock, err = lockFile(filepath.Join(dir, "tray.lock")); err != nil {
		t.Fatal(err)
	}
	tries = 10
	err = Reach(dir, "tray", m, func() error {
		if tries++; tries == 13 {
			lock.Close() // it has ended
		}
		return claim()
	})
	if err != nil || tries < 13 {
		t.Errorf("after %d tries: %v", tries-10, err)
	}
}
