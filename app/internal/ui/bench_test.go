package ui

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

var t0 = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// bench is a window under test. Slow work runs at once, on the one goroutine.
type bench struct {
	*Shell
	t      testing.TB
	fake   *fake
	copied string
	quit   string
	report string
	prefs  desktop.Prefs
	allow  error           // what Allow gives
	full   error           // what writing files gives
	words  *text.Catalogue // in place of English, for clicks by English words
	hold   bool            // slow work waits for release
	held   []func()
}

func newBench(t *testing.T) *bench { return newBenchIn(t, text.English()) }

// newBenchIn is a bench in a language.
func newBenchIn(t testing.TB, words *text.Catalogue) *bench {
	t.Helper()
	app := test.NewTempApp(t)
	app.Settings().SetTheme(Theme())
	w := test.NewTempWindow(t, widget.NewLabel(""))
	b := &bench{t: t, fake: &fake{}, prefs: desktop.Prefs{Welcomed: true}, allow: desktop.ErrNoAsking}
	b.Shell = New(w, Env{
		Helper: b.fake, Text: words, Now: func() time.Time { return t0 }, Tray: true, User: "anna",
		Copy:    func(s string) error { b.copied = s; return nil },
		Start:   func(context.Context) error { return errors.New("no systemd") },
		Restart: func() { b.quit = "restart" }, Quit: func(d bool) { b.quit = fmt.Sprint("quit ", d) },
		Autostart: func() bool { return false }, SetAutostart: func(bool) error { return errors.New("read-only") },
		Allow: func(context.Context) error { return b.allow }, Prefs: func() desktop.Prefs { return b.prefs },
		SetPrefs: func(p desktop.Prefs) error { b.prefs = p; return b.full }, SaveReport: func(r string) (string, error) { b.report = r; return "/home/anna/report.txt", b.full },
		Go: func(f func()) {
			if b.hold {
				b.held = append(b.held, f)
				return
			}
			f()
		}, Do: func(f func()) { f() },
	})
	w.Resize(fyne.NewSize(1040, 660))
	t.Cleanup(b.Close)
	return b
}

func peer(i int, online bool) ipc.Peer {
	name := fmt.Sprintf("host-%04d", i)
	return ipc.Peer{
		Name: name, FQDN: name + ".home.internal", Key: "key-" + name, Online: online, Active: online, Path: ipc.PathDirect, LatencyMS: ptr(12.0),
		IPv4: ptr(netip.AddrFrom4([4]byte{100, 71, byte(i >> 8), byte(i)})), LastSeen: ptr(t0.Add(-3 * time.Hour)), OS: ptr("Debian 12"), Role: ipc.RolePlain,
	}
}

func status(peers int) ipc.Status {
	n := ipc.Network{Name: "home", Alias: "home", ID: "id-home", Active: true, Self: ipc.Self{Name: "laptop", FQDN: "laptop.home.internal", Role: ipc.RoleOwner}}
	for i := range peers {
		n.Peers = append(n.Peers, peer(i, i%2 == 0))
	}
	return ipc.Status{Schema: 1, Version: "1.3", State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}, Networks: []ipc.Network{n}}
}

// die lets a peer go offline that is the exit node in use.
func die(st *ipc.Status, peer int) {
	n := &st.Networks[0]
	n.Exit.State, n.Peers[peer].Online = ipc.ExitBlocked, false
	st.Health = append(st.Health, ipc.Health{Code: ipc.HealthExitBlocked, Severity: ipc.SeverityError, Args: map[string]string{"device": n.Peers[peer].Name, "why": "offline"}})
}

func (b *bench) take(st ipc.Status) {
	b.Set(model.New("1.4").Take(st).View(t0.Add(model.Settle)))
}

// release does the work that waited.
func (b *bench) release() {
	work := b.held
	b.hold, b.held = false, nil
	for _, f := range work {
		f()
	}
}

// stop is what the window sees once the service has gone for long.
func (b *bench) stop() {
	b.Set(model.New("1.4").SetLink(model.LinkAbsent, "", t0).View(t0))
}

// texts are all words on show, dialogs included.
func (b *bench) texts() string {
	var list []string
	for _, top := range append([]fyne.CanvasObject{b.win.Canvas().Content()}, b.win.Canvas().Overlays().List()...) {
		walk(top, func(o fyne.CanvasObject) {
			switch w := o.(type) {
			case *widget.Label:
				list = append(list, w.Text)
			case *Button:
				list = append(list, w.Text)
			case *Check:
				list = append(list, w.Text)
			case *canvas.Text:
				list = append(list, w.Text)
			}
		})
	}
	return strings.Join(list, "\n")
}

func walk(o fyne.CanvasObject, found func(fyne.CanvasObject)) {
	if o == nil || !o.Visible() {
		return
	}
	found(o)
	if c, ok := o.(*fyne.Container); ok {
		for _, x := range c.Objects {
			walk(x, found)
		}
	} else if w, ok := o.(fyne.Widget); ok {
		for _, x := range test.WidgetRenderer(w).Objects() {
			walk(x, found)
		}
	}
}

func (b *bench) see(words ...string) {
	b.t.Helper()
	for _, w := range words {
		if all := b.texts(); !strings.Contains(all, w) {
			b.t.Errorf("%q is not on show:\n%s", w, all)
		}
	}
}

// said is an English text in the language of the bench.
func (b *bench) said(words string) string {
	if b.words == nil {
		return words
	}
	return text.InLanguage(b.words, words)
}

// click taps the last button or check that says so.
func (b *bench) click(words string) {
	b.t.Helper()
	words = b.said(words)
	var hit fyne.Tappable
	for _, top := range append([]fyne.CanvasObject{b.win.Canvas().Content()}, b.win.Canvas().Overlays().List()...) {
		walk(top, func(o fyne.CanvasObject) {
			switch w := o.(type) {
			case *Button:
				if w.Text == words && !w.Disabled() {
					hit = w
				}
			case *Check:
				if w.Text == words && !w.Disabled() {
					hit = w
				}
			}
		})
	}
	if hit == nil {
		b.t.Fatalf("no button %q in\n%s", words, b.texts())
	}
	if c, ok := hit.(*Check); ok {
		c.SetChecked(!c.Checked)
		return
	}
	test.Tap(hit)
}

func (b *bench) devices() *devices { return b.pages["devices"].(*devices) }
