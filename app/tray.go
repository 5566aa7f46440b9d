package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"time"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/live"
	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/app/internal/tray"
	"kith.internal/app/internal/ui"
	"kith.internal/ipc"
	"kith.internal/ipc/client"
)

// keeper is the tray process. Its loop owns all of it; others post to it.
type keeper struct {
	dir    string
	words  *text.Catalogue
	log    *slog.Logger
	helper *client.Client
	post   chan func()
	ctx    context.Context
	cancel context.CancelFunc

	icon    *tray.Tray
	view    model.View
	notices model.Notifier
	notify  desktop.Notifier
	clip    desktop.Clipboard
	front   bool
	alarm   *time.Timer
	calm    *time.Timer // after the last change
	noGL    chan bool

	start   func(desktop.Message) error // startWindow
	window  *exec.Cmd                   // running, or nil
	shown   bool                        // it said that it is up
	pending []desktop.Message           // for a window that is not up yet
	sent    []desktop.Message           // to the window, which has not said that it did so
	notes   func(func())                // notifications, in turn
	copies  func(func())                // what is copied, in turn
	alone   bool                        // no tray icons here: the window's end is the app's
	restart bool
}

// settled is how long after a change what it took is given back.
const settled = 2 * time.Second

// pause is how long after a change tray and window show the next.
const pause = 100 * time.Millisecond

// runTray is the tray process until it quits.
func runTray(dir string, first desktop.Message, background bool, words *text.Catalogue, log *slog.Logger) (int, error) {
	debug.SetGCPercent(40) // a small heap that hardly ever grows
	k := &keeper{dir: dir, words: words, log: log, helper: client.New(client.Options{Keep: model.MenuPeer}), post: make(chan func(), 64), noGL: make(chan bool, 1)}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	k.start = k.startWindow
	k.notes, _ = inTurn(k.ctx)
	copies, copied := inTurn(k.ctx)
	k.copies = copies
	defer k.cancel()
	in, err := desktop.Claim(dir, roleTray, func(m desktop.Message) { k.do(func() { k.message(m) }) })
	if err != nil {
		k.helper.Close()
		return 1, err
	}
	if err := desktop.RegisterLinks(); err != nil {
		log.Info("links open no window", "err", err)
	}
	takeLinks(func(link string) {
		if len(link) <= desktop.MaxLink {
			k.do(func() { k.open(desktop.Message{Verb: desktop.MsgOpen, Link: link}) })
		}
	})
	k.alarm = time.AfterFunc(time.Hour, func() { k.do(func() { k.tell() }) })
	k.alarm.Stop()
	k.calm = time.AfterFunc(settled, desktop.GiveBack)
	defer k.calm.Stop()
	done := make(chan struct{})
	tray.Run(func(t *tray.Tray) {
		k.icon = t
		go live.Run(k.ctx, live.Config{Watcher: k.helper, App: version, Menu: true, Pause: pause, NoGL: k.noGL, Show: func(v model.View) {
			k.do(func() { k.show(v) })
		}})
		go func() { defer close(done); k.loop() }()
		if !background {
			k.do(func() {
				k.alone = !desktop.HasTray()
				k.open(first)
			})
		}
	}, func(c tray.Command) { k.do(func() { k.command(c) }) }, func() {})
	k.cancel()
	<-done
	<-copied
	in.Close()
	k.clip.Close()
	k.helper.Close()
	if k.restart {
		exe, err := executable()
		if err == nil {
			err = desktop.Replace(exe)
		}
		return 1, err
	}
	return 0, nil
}

// do posts to the loop.
func (k *keeper) do(f func()) {
	select {
	case k.post <- f:
	case <-k.ctx.Done():
	}
}

func (k *keeper) loop() {
	for {
		select {
		case f := <-k.post:
			f()
		case <-k.ctx.Done():
			k.alarm.Stop()
			return
		}
	}
}

func (k *keeper) show(v model.View) {
	k.view = v
	k.icon.Show(tray.LookOf(k.words, v, time.Now()))
	k.calm.Reset(settled)
	k.tell()
}

// tell shows what is worth a notification, unless the window is in front.
func (k *keeper) tell() {
	now := time.Now()
	list, next := k.notices.Step(k.view, now)
	if !next.IsZero() {
		k.alarm.Reset(next.Sub(now))
	}
	for _, n := range list {
		body := k.words.Say(n.Body)
		if n.Problem != nil {
			body = model.Say(k.words, *n.Problem, now)
		}
		if !k.front {
			k.say(k.words.Say(n.Title), body)
		}
	}
}

func (k *keeper) say(title, body string) {
	k.notes(func() {
		if err := k.notify.Notify(title, body); err != nil {
			k.log.Info("no notification", "err", err)
		}
	})
}

// command does what a menu row says.
func (k *keeper) command(c tray.Command) {
	switch c.Verb {
	case tray.Open:
		k.open(desktop.Message{Verb: desktop.MsgOpen, Page: c.Arg})
	case tray.Copy:
		k.copy(c.Arg, true)
	case tray.Up, tray.Down:
		k.toggle(c)
	case tray.ExitUse, tray.ExitLAN, tray.ExitOff:
		k.exit(c)
	case tray.Act:
		k.act(c.Action)
	case tray.RestartApp:
		k.quit(true)
	case tray.Quit:
		k.quit(false)
	case tray.DownQuit:
		k.downQuit()
	}
}

func (k *keeper) act(a model.Action) {
	switch a {
	case model.ActRestart:
		k.quit(true)
	case model.ActStart:
		go func() {
			if err := desktop.StartService(k.ctx); err != nil {
				k.say(k.words.S("problem.absent"), ui.StartWords(k.words, err))
			}
		}()
	case model.ActExitOff:
		k.open(desktop.Message{Verb: desktop.MsgOpen, Page: "exits"})
	case model.ActNearby:
		k.open(desktop.Message{Verb: desktop.MsgOpen, Page: "networks"})
	case model.ActShares:
		k.open(desktop.Message{Verb: desktop.MsgOpen, Page: "sharing"})
	default:
		k.open(desktop.Message{Verb: desktop.MsgOpen, Page: "diagnostics"})
	}
}

// copy puts a text on the clipboard. Where that fails the text is shown.
func (k *keeper) copy(what string, say bool) {
	k.copies(func() {
		switch err := k.clip.Set(what); {
		case err != nil:
			k.log.Info("no clipboard", "err", err)
			k.say("Kith", k.words.S("copy.failed", "what", what))
		case say:
			k.say("Kith", k.words.S("copy.done", "what", what))
		}
	})
}

func (k *keeper) toggle(c tray.Command) {
	go func() {
		var err error
		if c.Verb == tray.Up {
			_, err = k.helper.Up(k.ctx, ipc.UpRequest{Network: c.Arg})
		} else {
			_, err = k.helper.Down(k.ctx, c.Arg)
		}
		if err != nil {
			k.say("Kith", ui.Words(k.words, err))
		}
	}()
}

// exit switches the exit node.
func (k *keeper) exit(c tray.Command) {
	go func() {
		var err error
		switch c.Verb {
		case tray.ExitOff:
			if c.Arg == "" {
				return // none is in use
			}
			_, err = k.helper.ExitOff(k.ctx, c.Arg)
		case tray.ExitLAN:
			_, err = k.helper.ExitUse(k.ctx, ipc.ExitUseRequest{AllowLAN: &c.On, LANs: c.LANs})
		default:
			_, err = k.helper.ExitUse(k.ctx, ipc.ExitUseRequest{Network: c.Net, Device: c.Arg})
		}
		if err != nil {
			k.say("Kith", ui.Words(k.words, err))
		}
	}()
}

// message takes what another process of the app says.
func (k *keeper) message(m desktop.Message) {
	switch m.Verb {
	case desktop.MsgOpen:
		k.open(m)
	case desktop.MsgCopy:
		k.copy(m.Text, false)
	case desktop.MsgFront:
		k.front = m.On
	case desktop.MsgShown:
		k.shown, k.sent = true, nil
		k.tellGL(false)
		waited := k.pending
		k.pending = nil
		for _, m := range waited {
			k.open(m)
		}
	case desktop.MsgQuit:
		k.quit(false)
	case desktop.MsgDown:
		k.downQuit()
	case desktop.MsgRestart:
		k.quit(true)
	}
}

// open brings the window to the front, or starts it.
func (k *keeper) open(m desktop.Message) {
	m.Verb = desktop.MsgOpen
	if k.window != nil && !k.shown {
		k.pending = keep(k.pending, m)
		return
	}
	if k.window != nil && desktop.Send(k.dir, roleWindow, m) == nil {
		k.sent = keep(k.sent, m)
		return
	}
	if err := k.start(m); err != nil {
		k.failed(err.Error())
	}
}

// mostKept bounds what waits for a window.
const mostKept = 8

// keep adds what the window is to show; to come to the front it does anyway.
func keep(list []desktop.Message, m desktop.Message) []desktop.Message {
	if m.Link == "" && m.Page == "" || len(list) == mostKept {
		return list
	}
	return append(list, m)
}

// startWindow starts the window's process, which shows m.
func (k *keeper) startWindow(m desktop.Message) error {
	exe, err := executable()
	if err != nil {
		return err
	}
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	errs := &tail{}
	cmd := exec.Command(exe, "--window")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(body), errs
	if err := cmd.Start(); err != nil {
		return err
	}
	k.window, k.shown = cmd, false
	go func() {
		err := cmd.Wait()
		k.do(func() { k.gone(err, errs.String()) })
	}()
	return nil
}

// gone looks at why the window ended.
func (k *keeper) gone(err error, errs string) {
	shown, lost := k.shown, k.sent
	k.window, k.shown, k.front, k.pending, k.sent = nil, false, false, nil, nil
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == exitNoGL:
		k.log.Warn("the window needs OpenGL", "stderr", errs)
		k.tellGL(true)
		k.say("Kith", k.words.S("problem.nogl"))
		return
	case err != nil && !shown:
		why := strings.TrimSpace(errs)
		if why == "" {
			why = err.Error()
		}
		k.failed(why)
		return
	}
	if len(lost) > 0 { // it was closing when it was told
		for _, m := range lost {
			k.open(m)
		}
		return
	}
	if k.alone && !desktop.HasTray() {
		k.quit(false)
	}
}

func (k *keeper) failed(why string) {
	k.log.Warn("the window could not be opened", "err", why)
	k.say("Kith", k.words.S("problem.window", "why", why))
}

func (k *keeper) tellGL(missing bool) {
	select {
	case <-k.noGL:
	default:
	}
	k.noGL <- missing
}

func (k *keeper) downQuit() {
	go func() {
		if _, err := k.helper.Down(k.ctx, ""); err != nil {
			k.say("Kith", ui.Words(k.words, err))
			return
		}
		k.do(func() { k.quit(false) })
	}()
}

// quit ends both processes.
func (k *keeper) quit(restart bool) {
	k.restart = restart
	if k.window != nil && desktop.Send(k.dir, roleWindow, desktop.Message{Verb: desktop.MsgQuit}) != nil {
		k.window.Process.Kill()
	}
	k.icon.Stop()
}

// tail keeps the last 4 KiB of a window's complaints and passes them on.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	os.Stderr.Write(p)
	t.b = append(t.b, p...)
	if n := len(t.b) - 4096; n > 0 {
		t.b = t.b[n:]
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }
