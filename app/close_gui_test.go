//go:build gui

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
	"kith.internal/ipc/server"
	"kith.internal/ipc/transport"
)

// ended is what came of a process' run function.
type ended struct {
	code  int
	err   error
	leaks error
}

var window, trayed ended

// TestMain runs the window and the tray, each as its process does, on the main
// thread, which the tests have no hold of; the tests look at what was left.
func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "kc")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		session, err := openSession(dir)
		defer session()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		window = leavesNothing(roleWindow, func(dir string) (int, error) {
			return runWindow(dir, desktop.Message{Verb: desktop.MsgOpen, Page: "settings"}, text.English(), log), nil
		})
		trayed = leavesNothing(roleTray, func(dir string) (int, error) {
			return runTray(dir, desktop.Message{}, true, text.English(), log)
		})
		return m.Run()
	}())
}

// openSession makes a display, a session bus and the folders of an account;
// end ends them.
func openSession(dir string) (end func(), err error) {
	var started []*exec.Cmd
	end = func() {
		for _, c := range started {
			c.Process.Kill()
			c.Wait()
		}
	}
	line := func(name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			return "", err
		}
		if err := cmd.Start(); err != nil {
			return "", fmt.Errorf("%s: %w (apt-get install xvfb dbus)", name, err)
		}
		started = append(started, cmd)
		said, err := bufio.NewReader(out).ReadString('\n')
		go io.Copy(io.Discard, out)
		return strings.TrimSpace(said), err
	}
	for key, sub := range map[string]string{"HOME": "home", "XDG_RUNTIME_DIR": "run"} {
		if err := os.MkdirAll(filepath.Join(dir, sub, ".cache"), 0o700); err != nil {
			return end, err
		}
		os.Setenv(key, filepath.Join(dir, sub))
	}
	os.Setenv("KITH_SOCKET", filepath.Join(dir, "kithd.sock"))
	display, err := line("Xvfb", "-displayfd", "1", "-screen", "0", "1280x860x24", "-nolisten", "tcp")
	if err != nil {
		return end, err
	}
	os.Setenv("DISPLAY", ":"+display)
	bus, err := line("dbus-daemon", "--session", "--nofork", "--print-address")
	os.Setenv("DBUS_SESSION_BUS_ADDRESS", bus)
	return end, err
}

// fynes are goroutines that Fyne keeps for the life of its process: they watch
// its settings' file, the session's theme and signals.
var fynes = []goleak.Option{
	goleak.IgnoreAnyFunction("fyne.io/fyne/v2/app.watchFile.func1"),
	goleak.IgnoreAnyFunction("github.com/fsnotify/fsnotify.(*inotify).readEvents"),
	goleak.IgnoreAnyFunction("fyne.io/fyne/v2/app.watchTheme.func1"),
	goleak.IgnoreAnyFunction("github.com/godbus/dbus/v5.(*Conn).inWorker"),
	goleak.IgnoreAnyFunction("github.com/godbus/dbus/v5.newConn.func1"),
	goleak.IgnoreAnyFunction("fyne.io/fyne/v2/internal/driver/glfw.(*gLDriver).catchTerm"),
}

// anyone lets all do all.
type anyone struct{}

func (anyone) Authorize(transport.Identity, ipc.Verb) error { return nil }

func (anyone) Rights(transport.Identity) []ipc.Right { return []ipc.Right{ipc.RightOperate} }

// leavesNothing runs a process of the app beside a helper with a network, lets
// it show a few changes, asks it to quit, and looks for goroutines of its own.
func leavesNothing(role string, run func(dir string) (int, error)) (e ended) {
	before := goleak.IgnoreCurrent()
	dir, err := desktop.Dir()
	if err != nil {
		return ended{err: err}
	}
	st := func(name string) *ipc.Status {
		return &ipc.Status{Schema: 1, State: ipc.StateRunning, Networks: []ipc.Network{{ID: "1", Name: name, Alias: name, Active: true, Self: ipc.Self{Name: "laptop", Role: ipc.RoleOwner, FQDN: "laptop." + name + ".internal"}}}}
	}
	board := server.NewBoard(st("home"))
	ln, err := transport.Listen(os.Getenv("KITH_SOCKET"))
	if err != nil {
		return ended{err: err}
	}
	ctx, cancel := context.WithCancel(context.Background())
	served, asked := make(chan error, 1), make(chan struct{})
	go func() {
		served <- server.New(server.Config{Version: "1", Source: board, Authorizer: anyone{}}).Serve(ctx, ln)
	}()
	go func() {
		defer close(asked)
		for i := range 20 {
			board.Publish(st(fmt.Sprint("home", i%3))) // menus and pages are drawn anew
			<-time.After(100 * time.Millisecond)
		}
		for range 600 {
			if desktop.Send(dir, role, desktop.Message{Verb: desktop.MsgQuit}) == nil {
				return
			}
			<-time.After(100 * time.Millisecond)
		}
	}()
	e.code, e.err = run(dir)
	cancel()
	<-served
	<-asked
	for range 25 { // what was told to end may take a moment
		if e.leaks = goleak.Find(append(fynes, before)...); e.leaks == nil || !strings.Contains(e.leaks.Error(), "kith.internal/") {
			break
		}
	}
	return e
}

// TestWindowLeavesNothing: when the window has closed, no goroutine of ours is
// left.
func TestWindowLeavesNothing(t *testing.T) { window.check(t) }

// TestTrayLeavesNothing: nor when the tray has quit.
func TestTrayLeavesNothing(t *testing.T) { trayed.check(t) }

func (e ended) check(t *testing.T) {
	if e.code != 0 || e.err != nil {
		t.Errorf("it ended with %d, %v", e.code, e.err)
	}
	if e.leaks != nil {
		t.Error(e.leaks)
	}
}
