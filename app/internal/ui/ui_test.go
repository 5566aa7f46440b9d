package ui

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

func TestEmptyStates(t *testing.T) {
	b := newBench(t)
	b.Set(model.New("1.4").SetLink(model.LinkAbsent, "", t0).View(t0))
	b.see("Service not running", "The background service isn't running.", "Devices show here once")
	b.click("Start")
	b.see("The service did not start: no systemd")
	b.take(ipc.Status{Schema: 1, State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}})
	b.see("No networks yet", "Welcome to Kith", "The background service runs.", "Now join a network with an invite")
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

// form is the dialog's choice of roles, and its fields by what stands in them.
func (b *bench) form() (roles *choice, fields map[string]*keyEntry) {
	fields = map[string]*keyEntry{}
	for _, top := range b.win.Canvas().Overlays().List() {
		walk(top, func(o fyne.CanvasObject) {
			switch w := o.(type) {
			case *choice:
				roles = w
			case *keyEntry:
				fields[w.PlaceHolder] = w
			}
		})
	}
	return roles, fields
}

func TestRoleAndTags(t *testing.T) {
	b := newBench(t)
	st := status(3)
	st.Networks[0].Peers[0].Tags = []string{"media", "old"}
	b.take(st)
	b.devices().list.Select(0)
	const phrase, tags = "Root phrase: the 24 words", "Such as server, media"
	for _, c := range []struct {
		role, phrase, tags string
		want               string
	}{
		{"Member", "", "media, old", ""},
		{"Admin", "", "media old", `role key-host-0000 admin ""`},
		{"Member", "", "Server, media", "tag key-host-0000 +[server] -[old]"},
		{"Sponsor", "", "", `tag key-host-0000 +[] -[media old];role key-host-0000 sponsor ""`},
		{"Owner", " Some\n words ", "media old", `role key-host-0000 owner "some words"`},
	} {
		b.fake.calls = nil
		b.click("Role and tags…")
		roles, fields := b.form()
		if roles.Selected != "Member" || fields[phrase] != nil {
			t.Errorf("it begins with %s, asks for the phrase: %t", roles.Selected, fields[phrase] != nil)
		}
		roles.SetSelected(c.role)
		_, fields = b.form()
		if e := fields[phrase]; (e != nil) != (c.phrase != "") {
			t.Errorf("%s: the phrase's field is there: %t", c.role, e != nil)
		} else if e != nil {
			e.SetText(c.phrase)
		}
		fields[tags].SetText(c.tags)
		b.click("OK")
		if got := strings.Join(b.fake.calls, ";"); got != c.want {
			t.Errorf("%s: %s, want %s", c.role, got, c.want)
		}
		if roles, _ := b.form(); roles != nil {
			t.Fatalf("%s: the dialog stays", c.role)
		}
	}
	b.fake.err = ipc.Errorf(ipc.CodeNotAdmin, "no")
	b.click("Role and tags…")
	roles, _ := b.form()
	roles.SetSelected("Admin")
	b.click("OK")
	b.see("Lets devices in, removes them")
	if roles, _ := b.form(); roles == nil {
		t.Error("the dialog is gone after a refusal")
	}
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
	b.see("This link was used already. Ask for a new one.")
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

// TestLinkBeforeState: a link, or the tray's Share…, may start the window, and
// be there before the service has told its state; what this account may changes.
func TestLinkBeforeState(t *testing.T) {
	b := newBench(t)
	b.fake.preview = ipc.Preview{Kind: "share", Network: "home", Sponsor: "nas", Expires: t0.Add(2 * time.Hour)}
	b.ShowLink("kith://share/ok")
	b.unseen("Your account can view")
	st := sample()
	other := st.Networks[0]
	other.ID, other.Alias = "id-cabin", "cabin"
	st.Networks = append(st.Networks, other)
	may := st.May
	st.May = nil
	b.take(st)
	b.see("Your account can view but not change the VPN.")
	if !b.join.join.Disabled() {
		t.Error("an account that may only look can click Accept")
	}
	st.May = may
	b.take(st)
	b.unseen("Your account can view")
	b.join.into.SetSelectedIndex(0)
	third := other
	third.ID, third.Alias = "id-attic", "attic"
	st.Networks = append(st.Networks, third)
	b.take(st)
	b.fake.calls = nil
	b.click("Accept")
	b.did1(`accept kith://share/ok into "id-cabin" as ""`)

	b = newBench(t)
	b.Open("share")
	b.unseen("Share a device with a friend")
	b.take(sample())
	b.see("Share a device with a friend")
}

// TestNoClipboard: what cannot be copied is shown instead.
func TestNoClipboard(t *testing.T) {
	b := newBench(t)
	b.take(status(1))
	b.env.Copy = func(string) error { return errors.New("no clipboard") }
	b.devices().list.Select(0)
	b.devices().copyName()
	if got := strings.Join(strings.Fields(b.toast.Text), ""); !strings.Contains(got, "host-0000.home.internal") || strings.HasPrefix(got, "Copied") {
		t.Errorf("it says %q", b.toast.Text)
	}
}

// TestPastedMessage: the link is found in what people paste.
func TestPastedMessage(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for in, want := range map[string]string{
		"kith://join/a": "kith://join/a", " kith://join/a\n": "kith://join/a", "Hi! Use kith://join/a to get in.": "kith://join/a",
		"kith://join/a\r\nWhoever has this link can join.": "kith://join/a", "junk": "junk", " ": "", "": "", "kith:// x": "kith://",
		long: long,
	} {
		if got := linkIn(in); got != want {
			t.Errorf("%.40q: %.40q, want %.40q", in, got, want)
		}
	}
	b := newBench(t)
	b.take(ipc.Status{Schema: 1, State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}})
	b.fake.preview = ipc.Preview{Kind: "join", Network: "home", Sponsor: "nas", Expires: t0.Add(time.Hour)}
	b.ShowLink("Use this:\nkith://join/ok\nbye")
	if b.join.link.Text != "kith://join/ok" {
		t.Errorf("the field has %q", b.join.link.Text)
	}
	if got := strings.Join(b.fake.calls, ";"); got != "preview kith://join/ok" {
		t.Error(got)
	}
}

func TestLinksThatCannotBeJoined(t *testing.T) {
	join := ipc.Preview{Kind: "join", Network: "home", Sponsor: "nas", Expires: t0.Add(time.Hour)}
	expired, known := join, join
	expired.Expired, known.Known = true, true
	for words, p := range map[string]ipc.Preview{
		"Expired. Ask nas for a new invite.": expired, "This device is in home already.": known,
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

func TestSignIn(t *testing.T) {
	b := newBench(t)
	st := status(1)
	st.Health = []ipc.Health{{Code: ipc.HealthPortal, Severity: ipc.SeverityWarning, Args: map[string]string{"by": "NetworkManager"}}}
	b.take(st)
	b.see("The network here wants a sign-in first.")
	b.click("Let the sign-in through for 5 minutes")
	st = status(1)
	st.Health = []ipc.Health{{Code: ipc.HealthPortalOpen, Severity: ipc.SeverityWarning, Args: map[string]string{"until": t0.Add(5 * time.Minute).Format(time.RFC3339)}}}
	b.take(st)
	b.see("Names and web pages go past Kith until today 12:05")
	b.click("End it now")
	if got := strings.Join(b.fake.calls, ";"); got != "portal true;portal false" {
		t.Error(got)
	}
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
	b.fake.list.Devices = []ipc.Device{{Name: "tablet", Key: "k9", Asks: []ipc.Request{{Kind: "rename", Value: "kitchen"}, {Kind: "exit"}}}}
	st := status(4)
	st.Joining = []ipc.Joining{{Network: "work", ID: "id-work", Sponsor: "boss", Stage: ipc.JoinAsking, Expires: t0.Add(time.Hour)}}
	b.take(st)
	b.Open("networks")
	b.see("home", "Owner · 2 of 4 other devices online", "tablet wants to be called kitchen", "tablet offers to be an exit node", "Joining work…", "boss answers, asking to be let in…")
	b.click("Approve")
	b.click("Stop joining")
	b.click("Connected")
	b.click("Leave…")
	b.see("Leave home?", "only the root phrase brings control back")
	b.click("Leave")
	if got := strings.Join(b.fake.calls, ";"); got != "approve k9 [{exit }];leave id-work;down id-home;leave id-home" {
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
	if d := time.Since(start) / 30; d > 2*time.Second { // a busy machine; drawing all rows takes minutes
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
	b.devices().list.ScrollToBottom()
	b.capture()
	b.see("host-4999")
	b.devices().search.SetText("host-2500")
	b.capture()
	b.see("host-2500", "1 device")
}

// BenchmarkDevices5000 is what a person waits for with 5,000 devices: a change
// while the list is on show, a letter typed, a page scrolled.
func BenchmarkDevices5000(b *testing.B) {
	for name, do := range map[string]func(*bench, ipc.Status, int){
		"change": func(w *bench, st ipc.Status, i int) {
			st.Networks[0].Peers[i%5000].LatencyMS = ptr(float64(i % 300))
			w.take(st)
		},
		"search": func(w *bench, _ ipc.Status, i int) { w.devices().search.SetText(fmt.Sprint("host-", i%500)) },
		"scroll": func(w *bench, _ ipc.Status, i int) { w.devices().list.ScrollTo(i * 20 % 5000) },
	} {
		b.Run(name, func(b *testing.B) {
			w := newBenchIn(b, text.English())
			st := status(5000)
			w.take(st)
			for i := 0; b.Loop(); i++ {
				do(w, st, i)
			}
		})
	}
}

// TestSparkline keeps the last latencies of one device, and draws them.
func TestSparkline(t *testing.T) {
	test.NewTempApp(t)
	sp := newSparkline()
	dev := func(key string, ms float64, dot model.Dot) model.Device {
		return model.Device{Net: "n", Dot: dot, Peer: ipc.Peer{Key: key, LatencyMS: &ms}}
	}
	for i := range 100 {
		sp.add(dev("a", float64(i), model.DotOnline))
	}
	sp.add(dev("a", 99, model.DotOnline))   // the same again
	sp.add(dev("a", 500, model.DotOffline)) // an old one
	if len(sp.at) != sparkMost || sp.at[0] != 40 || sp.at[sparkMost-1] != 99 {
		t.Errorf("%v", sp.at)
	}
	if img := sp.draw(120, 36); img.At(0, 35) == img.At(0, 0) {
		t.Error("nothing is drawn")
	}
	sp.add(dev("b", 7, model.DotOnline))
	if len(sp.at) != 1 {
		t.Errorf("of another device: %v", sp.at)
	}
	for _, size := range []int{0, 1, 3, 4} {
		sp.draw(size, size)
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
