package main

import (
	"bytes"
	"context"
	stdlog "log"
	"log/slog"
	"os"
	"os/user"
	"runtime/debug"
	"sync"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/app"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/live"
	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/app/internal/ui"
	"kith.internal/assets"
	"kith.internal/ipc/client"
)

// exitNoGL is the window process' exit code where the session lacks OpenGL.
const exitNoGL = 3

// failing watches what Fyne logs: where it can make no window it says so and
// runs on without one.
type failing struct{ failed bool }

func (f *failing) Write(p []byte) (int, error) {
	n, err := os.Stderr.Write(p)
	if bytes.Contains(p, []byte("window creation error")) || bytes.Contains(p, []byte("failed to initialise GLFW")) {
		f.failed = true
	}
	if f.failed && bytes.Contains(p, []byte("  At:")) { // the last line of a complaint
		os.Exit(exitNoGL)
	}
	return n, err
}

// runWindow is the window process until the window closes.
func runWindow(dir string, first desktop.Message, words *text.Catalogue, log *slog.Logger) int {
	stdlog.SetOutput(&failing{})
	debug.SetGCPercent(20) // a window is drawn seldom and stands long
	// What a burst of changes took is given back once it is over.
	calm := time.AfterFunc(time.Hour, debug.FreeOSMemory)
	defer calm.Stop()
	a := app.NewWithID("internal.kith.app")
	a.SetIcon(fyne.NewStaticResource("kith.png", assets.App()))
	a.Settings().SetTheme(ui.Theme())
	win := a.NewWindow("Kith")
	win.SetMaster()
	win.Resize(fyne.NewSize(1040, 660))
	helper := client.New(client.Options{})
	defer helper.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	later, done := inTurn(ctx)
	defer func() { cancel(); <-done }()
	tell := func(m desktop.Message) { // slow, never on Fyne's goroutine
		later(func() {
			if err := desktop.Send(dir, roleTray, m); err != nil {
				log.Debug("no tray", "err", err)
			}
		})
	}
	shell := ui.New(win, environment(dir, a, helper, words))
	defer shell.Close()
	var in *desktop.Instance
	err := desktop.Reach(dir, roleWindow, first, func() (err error) {
		in, err = desktop.Claim(dir, roleWindow, func(m desktop.Message) {
			fyne.Do(func() { take(win, a, shell, tell, m) })
		})
		return err
	})
	switch {
	case err != nil:
		log.Error("the window cannot start", "err", err)
		return 1
	case in == nil: // another has taken what there is to show
		return 0
	}
	defer in.Close()
	up := false
	a.Lifecycle().SetOnStarted(func() {
		up = true
		tell(desktop.Message{Verb: desktop.MsgShown})
		open(shell, first)
	})
	a.Lifecycle().SetOnEnteredForeground(func() { tell(desktop.Message{Verb: desktop.MsgFront, On: true}) })
	a.Lifecycle().SetOnExitedForeground(func() { tell(desktop.Message{Verb: desktop.MsgFront}) })
	var next latest
	go live.Run(ctx, live.Config{Watcher: helper, App: version, Again: time.Minute, Pause: pause, Show: func(v model.View) {
		if next.put(v) {
			fyne.Do(func() { shell.Set(next.take()) })
		}
		calm.Reset(settled)
	}})
	win.ShowAndRun()
	if !up {
		return 1
	}
	return 0
}

// latest is the View to draw next: while Fyne is busy, those that come take each
// other's place.
type latest struct {
	mu   sync.Mutex
	view *model.View
}

// put leaves a View; true: nobody has been told to take one.
func (l *latest) put(v model.View) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.view == nil
	l.view = &v
	return first
}

func (l *latest) take() model.View {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := *l.view
	l.view = nil
	return v
}

// take does what another process says.
func take(win fyne.Window, a fyne.App, shell *ui.Shell, tell func(desktop.Message), m desktop.Message) {
	switch m.Verb {
	case desktop.MsgOpen:
		win.Show()
		win.RequestFocus()
		open(shell, m)
		tell(desktop.Message{Verb: desktop.MsgShown})
	case desktop.MsgQuit:
		a.Quit()
	default:
		hook(win, m)
	}
}

func open(shell *ui.Shell, m desktop.Message) {
	if m.Page != "" {
		shell.Open(m.Page)
	}
	if m.Link != "" {
		shell.ShowLink(m.Link)
	}
}

// environment is what the window's pages may use of this process.
func environment(dir string, a fyne.App, helper *client.Client, words *text.Catalogue) ui.Env {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	// A window without its tray ends alone.
	ask := func(m desktop.Message) {
		go func() {
			if desktop.Send(dir, roleTray, m) != nil {
				fyne.Do(a.Quit)
			}
		}()
	}
	prefs := desktop.OpenPrefs()
	return ui.Env{
		Helper: helper, Text: words, Now: time.Now, User: name, Tray: desktop.HasTray(),
		Copy: func(s string) error {
			// On X11 what a window copied dies with it, so the tray owns it.
			if desktop.X11() && desktop.Send(dir, roleTray, desktop.Message{Verb: desktop.MsgCopy, Text: s}) == nil {
				return nil
			}
			a.Clipboard().SetContent(s)
			return nil
		},
		Start: desktop.StartService,
		Allow: desktop.Allow,
		Prefs: prefs.Get, SetPrefs: prefs.Set,
		SaveReport: func(r string) (string, error) { return desktop.SaveReport(r, time.Now()) },
		Restart:    func() { ask(desktop.Message{Verb: desktop.MsgRestart}) },
		Autostart:  desktop.Autostart, SetAutostart: desktop.SetAutostart,
		Quit: func(down bool) {
			verb := desktop.MsgQuit
			if down {
				verb = desktop.MsgDown
			}
			ask(desktop.Message{Verb: verb})
		},
		Go: func(f func()) { go f() },
		Do: fyne.Do,
	}
}
