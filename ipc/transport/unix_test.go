//go:build linux || darwin

package transport

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// childSocket makes the test's binary listen there until its input ends.
const childSocket = "KITH_TEST_LISTEN"

func TestMain(m *testing.M) {
	if path := os.Getenv(childSocket); path != "" {
		ln, err := net.Listen("unix", path)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("ready")
		bufio.NewReader(os.Stdin).ReadString('\n')
		ln.Close()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// openDir is a directory that other users can enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kith")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestListen(t *testing.T) {
	live := func(t *testing.T, path string) {
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
	}
	stale := func(t *testing.T, path string) {
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		ln.SetUnlinkOnClose(false)
		ln.Close()
	}
	tests := []struct {
		name    string
		prepare func(t *testing.T, dir, path string)
		inUse   bool
		says    string // in the error, "" for success
	}{
		{"nothing there", func(*testing.T, string, string) {}, false, ""},
		{"no directory", func(t *testing.T, dir, _ string) { os.Remove(dir) }, false, ""},
		{"a dead helper's socket", func(t *testing.T, _, path string) { stale(t, path) }, false, ""},
		{"a live helper", func(t *testing.T, _, path string) { live(t, path) }, true, "already listening"},
		{"a file", func(t *testing.T, _, path string) { os.WriteFile(path, nil, 0o600) }, false, "not a socket"},
		{"a symlink to a dead socket", func(t *testing.T, dir, path string) {
			stale(t, filepath.Join(dir, "x"))
			os.Symlink("x", path)
		}, false, "not a socket"},
		{"a dangling symlink", func(t *testing.T, _, path string) { os.Symlink("nowhere", path) }, false, "not a socket"},
		{"a directory that is a symlink", func(t *testing.T, dir, _ string) {
			os.Rename(dir, dir+"-real")
			os.Symlink(dir+"-real", dir)
		}, false, "not a directory"},
		{"a directory that others can write", func(t *testing.T, dir, _ string) { os.Chmod(dir, 0o777) }, false, "written by others"},
		{"the same, sticky as /tmp", func(t *testing.T, dir, _ string) { os.Chmod(dir, 0o777|os.ModeSticky) }, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(openDir(t), "run")
			path := filepath.Join(dir, "k.sock")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			tt.prepare(t, dir, path)
			ln, err := Listen(path)
			if err == nil {
				defer ln.Close()
			}
			switch {
			case tt.says == "" && err != nil:
				t.Fatal(err)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)):
				t.Fatalf("error %v, want one that says %q", err, tt.says)
			case errors.Is(err, ErrInUse) != tt.inUse:
				t.Fatalf("in use: %v", err)
			case err != nil:
				return
			}
			c, err := Dial(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if left, _ := filepath.Glob(filepath.Join(dir, ".k*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestListenModesWhateverTheUmask(t *testing.T) {
	dir := filepath.Join(openDir(t), "run")
	old := unix.Umask(0o077)
	ln, err := Listen(filepath.Join(dir, "k.sock"))
	unix.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for path, want := range map[string]os.FileMode{dir: os.ModeDir | 0o755, filepath.Join(dir, "k.sock"): os.ModeSocket | 0o666} {
		fi, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != want {
			t.Errorf("%s has mode %v, want %v", filepath.Base(path), fi.Mode(), want)
		}
	}
}

func TestListenOnceAtATime(t *testing.T) {
	path := filepath.Join(openDir(t), "k.sock")
	var wg sync.WaitGroup
	got := make(chan Listener, 8)
	for range cap(got) {
		wg.Go(func() {
			ln, err := Listen(path)
			switch {
			case err == nil:
				got <- ln
			case !errors.Is(err, ErrInUse):
				t.Errorf("listen: %v", err)
			}
		})
	}
	wg.Wait()
	if len(got) != 1 {
		t.Errorf("%d listeners hold one socket", len(got))
	}
	close(got)
	for ln := range got {
		ln.Close()
	}
}

func TestCloseRemovesOurSocketAlone(t *testing.T) {
	path := filepath.Join(openDir(t), "k.sock")
	first, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatalf("the first one's end took the second one's socket: %v", err)
	}
	c.Close()
	second.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestPeers(t *testing.T) {
	path := filepath.Join(openDir(t), "k.sock")
	ln, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := ln.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want := Identity{
		UID: strconv.Itoa(os.Getuid()), GID: strconv.Itoa(os.Getgid()), PID: os.Getpid(),
		Root: os.Getuid() == 0, Admin: os.Getuid() == 0,
	}
	if s.Peer != want {
		t.Errorf("the server sees %+v, want %+v", s.Peer, want)
	}
	if c.Peer != want {
		t.Errorf("the client sees %+v, want %+v", c.Peer, want)
	}
	if os.Getuid() == 0 && s.Peer.Name() != "root" {
		t.Errorf("root's name is %q", s.Peer.Name())
	}
}

func TestPath(t *testing.T) {
	t.Setenv(SocketEnv, "")
	if got := Path(""); got != DefaultPath {
		t.Errorf("without anything: %q", got)
	}
	t.Setenv(SocketEnv, "/x")
	if got := Path(""); got != "/x" {
		t.Errorf("with the variable: %q", got)
	}
	if got := Path("/y"); got != "/y" {
		t.Errorf("with a path given: %q", got)
	}
}
