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

func (f *fake) Up(_ context.Context, n string) (ipc.Status, error) {
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

func TestEmptyStates(t *testing.T) {
	b := newBench(t)
	b.Set(model.New("1.4").SetLink(model.LinkAbsent, "", t0).View(t0))
	b.see("Service not running", "The background service isn't running.", "Devices show here once")
	b.click("Start")
	b.see("The service did not start: no systemd")
	b.take(ipc.Status{Schema: 1, State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}})
	b.see("No networks yet", "Join a network with an invite link")
	b.take(status(0))
	b.see("No other devices yet")
	b.Set(model.New("1.4").SetLink(model.LinkVersions, "1.3", t0).View(t0))
	b.click("Restart")
	if b.quit != "restart" {
		t.Error("no restart")
	}
}

func TestDevices(t *testing.T) {
	b := newBench(t)
	b.take(status(6))
	b.see("Connected — 4 of 7 devices", "host-0000", "Direct · 12 ms", "Last seen 3 h ago", "6 devices")
	if b.win.Canvas().Focused() != b.devices().search {
		t.Error("the search has not the focus")
	}
	test.Type(b.devices().search, "0003")
	b.see("1 device")
	b.devices().search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if b.copied != "host-0003.home.internal" {
		t.Errorf("copied %q", b.copied)
	}
	b.devices().search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDown})
	b.see("100.71.0.3", "The device is switched off", "key-host-0003")
	b.devices().copyAddress()
	if b.copied != "100.71.0.3" {
		t.Errorf("copied %q", b.copied)
	}
	b.click("Rename…")
	b.click("OK")
	b.see("Asked for. An admin has to approve the new name.")
	b.click("OK")
	b.fake.dropped = []string{"a", "b"}
	b.click("Remove…")
	b.see("Remove host-0003?", "loses access to home at once")
	b.click("Remove")
	b.see("These devices lost access with it: a, b")
	if got := strings.Join(b.fake.calls, ";"); got != "rename key-host-0003 host-0003;revoke key-host-0003" {
		t.Error(got)
	}
	test.Type(b.devices().search, "zzz")
	b.see("No device matches “0003zzz”.")
	b.devices().search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	b.see("6 devices")
}

func TestPlainDeviceMayNotRemove(t *testing.T) {
	b := newBench(t)
	st := status(2)
	st.Networks[0].Self.Role = ipc.RolePlain
	b.take(st)
	b.devices().list.Select(0)
	if strings.Contains(b.texts(), "Remove…") {
		t.Error("a plain device can click Remove")
	}
}

func TestSelectionLivesThroughUpdates(t *testing.T) {
	b := newBench(t)
	st := status(6)
	b.take(st)
	b.devices().list.Select(4)
	st = status(6)
	st.Networks[0].Peers = append([]ipc.Peer{peer(9999, true)}, st.Networks[0].Peers[2:]...)
	b.take(st)
	if b.devices().selected != "id-home/key-host-0004" || b.devices().detail.dev.Peer.Name != "host-0004" {
		t.Errorf("selected %q", b.devices().selected)
	}
}

func TestJoin(t *testing.T) {
	b := newBench(t)
	b.take(ipc.Status{Schema: 1, State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}})
	b.fake.err = ipc.Errorf(ipc.CodeLinkMalformed, "x")
	b.ShowLink("kith://junk")
	b.see("That is no Kith link")
	b.fake.err = nil
	b.fake.preview = ipc.Preview{Kind: "join", Network: "home", ID: "id-home", Sponsor: "nas", Fingerprint: []string{"amber", "canyon"}, Expires: t0.Add(2 * time.Hour)}
	b.ShowLink("kith://join/ok") // a second link goes to the open dialog
	b.see("amber  canyon", "until today 14:00", "all devices of home", "Nothing happens before you click Join.")
	for _, c := range b.fake.calls {
		if !strings.HasPrefix(c, "preview") {
			t.Errorf("a link alone did: %s", c)
		}
	}
	b.fake.err = ipc.Errorf(ipc.CodeLinkUsed, "x")
	b.click("Join")
	b.see("This invite was used already. Ask for a new one.")
	b.fake.err = ipc.Errorf(ipc.CodeTimeout, "x")
	b.click("Join")
	b.see("nas does not answer yet.")
	b.click("Close")
	b.fake.err = nil
	b.ShowLink(" kith://join/ok\n")
	b.click("Join")
	b.see("This device is in home now. Its name is laptop.home.internal.")
	if last := b.fake.calls[len(b.fake.calls)-1]; last != "join kith://join/ok " {
		t.Error(last)
	}
}

func TestLinksThatCannotBeJoined(t *testing.T) {
	join := ipc.Preview{Kind: "join", Network: "home", Sponsor: "nas", Expires: t0.Add(time.Hour)}
	expired, known, share := join, join, ipc.Preview{Kind: "share"}
	expired.Expired, known.Known = true, true
	for words, p := range map[string]ipc.Preview{
		"Expired. Ask nas for a new invite.": expired, "This device is in home already.": known, "This link shares devices": share,
	} {
		b := newBench(t)
		b.take(ipc.Status{Schema: 1, State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}})
		b.fake.preview = p
		b.ShowLink("kith://join/x")
		b.see(words)
		if !b.join.join.Disabled() {
			t.Errorf("%s: Join can be clicked", words)
		}
	}
	b := newBench(t)
	b.ShowLink("kith://" + strings.Repeat("x", 1<<20))
	b.see("That is no Kith link")
	if len(b.fake.calls) != 0 {
		t.Error("a megabyte of junk went to the helper")
	}
}

func TestCreateShowsThePhraseOnce(t *testing.T) {
	b := newBench(t)
	b.take(ipc.Status{Schema: 1, State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}})
	b.Open("create")
	test.Type(b.win.Canvas().Focused(), "home")
	b.click("Create")
	b.see("Write these 24 words down", "24  word")
	if got := strings.Join(b.fake.calls, ";"); got != "create home  true" {
		t.Error(got)
	}
	b.click("I have written them down")
	b.click("Done")
	if strings.Contains(b.texts(), "24  word") {
		t.Error("the phrase stays")
	}
}

func TestHeldPhrase(t *testing.T) {
	b := newBench(t)
	st := status(1)
	st.Health = []ipc.Health{{Code: ipc.HealthPhrase, Severity: ipc.SeverityWarning, Network: "home"}}
	b.take(st)
	b.click("Show it now")
	b.see("24  word")
}

func TestInvite(t *testing.T) {
	b := newBench(t)
	b.take(status(0))
	b.click("Invite…")
	b.see("Invite to home")
	b.click("Make a link")
	b.see("kith://join/abc", "Valid until today 13:00")
	b.click("Copy")
	if b.copied != "kith://join/abc" || b.fake.calls[0] != "invite 1 86400" {
		t.Errorf("%q %v", b.copied, b.fake.calls)
	}
}

func TestNetworks(t *testing.T) {
	b := newBench(t)
	b.fake.list.Devices = []ipc.Device{{Name: "tablet", Key: "k9", Pending: &ipc.Request{Kind: "rename", Value: "kitchen"}}}
	st := status(4)
	st.Joining = []ipc.Joining{{Network: "work", ID: "id-work", Sponsor: "boss", Stage: ipc.JoinAsking, Expires: t0.Add(time.Hour)}}
	b.take(st)
	b.Open("networks")
	b.see("home", "Owner · 2 of 4 other devices online", "tablet wants to be called kitchen", "Joining work…", "boss answers, asking to be let in…")
	b.click("Approve")
	b.click("Stop joining")
	b.click("Connected")
	b.click("Leave…")
	b.see("Leave home?", "only the root phrase brings control back")
	b.click("Leave")
	if got := strings.Join(b.fake.calls, ";"); got != "approve k9;leave id-work;down id-home;leave id-home" {
		t.Error(got)
	}
}

func TestSwitchBannerAndPages(t *testing.T) {
	b := newBench(t)
	st := status(2)
	st.May = nil
	b.take(st)
	if b.toggle.Visible() {
		t.Error("a reader can disconnect")
	}
	b.click("Allow me…")
	b.see("An administrator of this computer can allow it")
	b.click("Copy")
	if b.copied != "sudo kith operator add anna" {
		t.Error(b.copied)
	}
	b.click("Close")
	b.take(status(2))
	b.click("Disconnect")
	b.Open("diagnostics")
	b.see("No problems.", "Names", "off — set it", "Version 1.3")
	b.fake.err = ipc.Errorf(ipc.CodeUnreachable, "x")
	b.click("Check again")
	b.see("Not reachable")
	b.Open("settings")
	b.see("App 1.4 · service 1.3")
	b.click("Start Kith at login")
	b.see("Could not change it: read-only")
	b.click("OK")
	b.click("Quit (stay connected)")
	if b.quit != "quit false" || b.fake.calls[0] != "down " {
		t.Errorf("%q %v", b.quit, b.fake.calls)
	}
}

func TestOddNames(t *testing.T) {
	b := newBench(t)
	st := status(1)
	st.Networks[0].Peers[0].Name = "<b>\u202eevil\x1b[31m\n😀"
	b.take(st)
	b.see("<b>evil[31m 😀")
}

// TestManyDevices holds the list to 5,000 rows: only those on show are drawn.
func TestManyDevices(t *testing.T) {
	b := newBench(t)
	st := status(5000)
	b.take(st)
	start := time.Now()
	for range 10 {
		b.take(st)
		b.devices().search.SetText("host-49")
		b.devices().search.SetText("")
	}
	if d := time.Since(start) / 30; d > 200*time.Millisecond {
		t.Errorf("a change of 5,000 rows takes %v", d)
	}
	n := 0
	walk(b.win.Canvas().Content(), func(o fyne.CanvasObject) {
		if _, ok := o.(*widget.Label); ok {
			n++
		}
	})
	if n > 300 {
		t.Errorf("%d labels for 5,000 rows", n)
	}
}

func TestShortAndWrap(t *testing.T) {
	if got := wrap("Copied averyveryverylongname.home.internal now", 20); got != "Copied\naveryveryverylongnam\ne.home.internal now" {
		t.Errorf("%q", got)
	}
	if got := bytesOf(999) + " " + bytesOf(1234567) + " " + bytesOf(2_000_000_000) + " " + bytesOf(123_456); got != "999 B 1.2 MB 2 GB 123 kB" {
		t.Error(got)
	}
}
