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

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

var t0 = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// fake is a Helper that answers at once.
type fake struct {
	calls   []string
	err     error
	preview ipc.Preview
	list    ipc.DeviceList
	dropped []string
}

func (f *fake) call(format string, args ...any) error {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fake) Create(_ context.Context, r ipc.CreateRequest) (ipc.CreateAnswer, error) {
	return ipc.CreateAnswer{Phrase: strings.Repeat("word ", 24)}, f.call("create %s %s %v", r.Name, r.Device, r.ShowPhrase)
}

func (f *fake) Invite(_ context.Context, r ipc.InviteRequest) (ipc.InviteAnswer, error) {
	return ipc.InviteAnswer{Link: "kith://join/abc", Expires: t0.Add(time.Hour)}, f.call("invite %d %d", r.Uses, r.Expires)
}

func (f *fake) Preview(_ context.Context, l string) (ipc.Preview, error) {
	return f.preview, f.call("preview %s", l)
}

func (f *fake) Join(_ context.Context, r ipc.JoinRequest) (ipc.NetworkAnswer, error) {
	return ipc.NetworkAnswer{Network: ipc.Network{Name: "home", Self: ipc.Self{FQDN: "laptop.home.internal"}}}, f.call("join %s %s", r.Link, r.Device)
}

func (f *fake) Leave(_ context.Context, n string) (ipc.NetworkAnswer, error) {
	return ipc.NetworkAnswer{}, f.call("leave %s", n)
}

func (f *fake) Up(_ context.Context, r ipc.UpRequest) (ipc.Status, error) {
	n := r.Network
	return ipc.Status{}, f.call("up %s", n)
}

func (f *fake) Down(_ context.Context, n string) (ipc.Status, error) {
	return ipc.Status{}, f.call("down %s", n)
}

func (f *fake) DeviceList(_ context.Context, n string) (ipc.DeviceList, error) { return f.list, f.err }

func (f *fake) DeviceRename(_ context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return ipc.DeviceAnswer{Pending: true}, f.call("rename %s %s", r.Device, r.Name)
}

func (f *fake) DeviceRevoke(_ context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return ipc.DeviceAnswer{Dropped: f.dropped}, f.call("revoke %s", r.Device)
}

func (f *fake) DeviceApprove(_ context.Context, r ipc.DeviceRequest) (ipc.DeviceAnswer, error) {
	return ipc.DeviceAnswer{}, f.call("approve %s", r.Device)
}

func (f *fake) Recover(_ context.Context, r ipc.RecoverRequest) (ipc.RecoverAnswer, error) {
	return ipc.RecoverAnswer{Phrase: strings.Repeat("word ", 24)}, f.call("recover %s %v", r.Network, r.Show)
}

func (f *fake) Diag(context.Context, string) (ipc.Diag, error) {
	return ipc.Diag{Checks: []ipc.Check{{Text: "Names", Detail: "fine", OK: true}, {Text: "Clock", Detail: "off", Fix: "set it"}}}, f.err
}

// bench is a window under test. Slow work runs at once, on the one goroutine.
type bench struct {
	*Shell
	t      *testing.T
	fake   *fake
	copied string
	quit   string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	app := test.NewTempApp(t)
	app.Settings().SetTheme(Theme())
	w := test.NewTempWindow(t, widget.NewLabel(""))
	b := &bench{t: t, fake: &fake{}}
	b.Shell = New(w, Env{
		Helper: b.fake, Text: text.English(), Now: func() time.Time { return t0 }, Tray: true, User: "anna",
		Copy:    func(s string) error { b.copied = s; return nil },
		Start:   func(context.Context) error { return errors.New("no systemd") },
		Restart: func() { b.quit = "restart" }, Quit: func(d bool) { b.quit = fmt.Sprint("quit ", d) },
		Autostart: func() bool { return false }, SetAutostart: func(bool) error { return errors.New("read-only") },
		Go: func(f func()) { f() }, Do: func(f func()) { f() },
	})
	w.Resize(fyne.NewSize(980, 640))
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

func (b *bench) take(st ipc.Status) {
	b.Set(model.New("1.4").Take(st, t0).View(t0.Add(model.Settle)))
}

// texts are all words on show, dialogs included.
func (b *bench) texts() string {
	var list []string
	for _, top := range append([]fyne.CanvasObject{b.win.Canvas().Content()}, b.win.Canvas().Overlays().List()...) {
		walk(top, func(o fyne.CanvasObject) {
			switch w := o.(type) {
			case *widget.Label:
				list = append(list, w.Text)
			case *widget.Button:
				list = append(list, w.Text)
			case *widget.Check:
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

// click taps the last button or check that says so.
func (b *bench) click(words string) {
	b.t.Helper()
	var hit fyne.Tappable
	for _, top := range append([]fyne.CanvasObject{b.win.Canvas().Content()}, b.win.Canvas().Overlays().List()...) {
		walk(top, func(o fyne.CanvasObject) {
			switch w := o.(type) {
			case *widget.Button:
				if w.Text == words && !w.Disabled() {
					hit = w
				}
			case *widget.Check:
				if w.Text == words && !w.Disabled() {
					hit = w
				}
			}
		})
	}
	if hit == nil {
		b.t.Fatalf("no button %q in\n%s", words, b.texts())
	}
	if c, ok := hit.(*widget.Check); ok {
		c.SetChecked(!c.Checked)
		return
	}
	test.Tap(hit)
}

func (b *bench) devices() *devices { return b.pages["devices"].(*devices) }
