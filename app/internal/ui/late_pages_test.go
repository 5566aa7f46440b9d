package ui

import (
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// TestCopyFromOtherPages: keys for the chosen device act on what it is now, not on
// what Devices last drew.
func TestCopyFromOtherPages(t *testing.T) {
	b := newBench(t)
	st := status(3)
	b.take(st)
	b.devices().list.Select(0)
	b.Open("networks")
	st = status(3)
	st.Networks[0].Peers[0].FQDN = "renamed.home.internal"
	b.take(st)
	b.devices().copyName()
	if b.copied != "renamed.home.internal" {
		t.Errorf("copied %q", b.copied)
	}
	st = status(3)
	st.Networks[0].Peers = st.Networks[0].Peers[1:]
	b.take(st)
	b.copied = ""
	b.devices().copyAddress()
	b.devices().ping()
	if b.copied != "" {
		t.Errorf("copied %q of a device that is gone", b.copied)
	}
	b.did1("")
}

// TestPingFollowsTheDevice: what could not be pinged when it was chosen can be
// later, by the name that it has then.
func TestPingFollowsTheDevice(t *testing.T) {
	b := newBench(t)
	st := status(1)
	st.Networks[0].Active = false
	b.take(st)
	b.devices().list.Select(0)
	if !b.devices().detail.pinger.button.Disabled() {
		t.Error("a device of a network that is off can be pinged")
	}
	st = status(1)
	st.Networks[0].Peers[0].FQDN = "renamed.home.internal"
	b.take(st)
	test.Tap(b.devices().detail.pinger.button)
	b.did1("ping renamed.home.internal true")
}

// TestExitOfAFriend: the details of a friend's device tell whether it is the exit
// node in use, and are not misled by one's own of the same name.
func TestExitOfAFriend(t *testing.T) {
	b := newBench(t)
	st := sample()
	n := &st.Networks[0]
	n.Shares = []ipc.Share{{ID: "s3", Name: "nas", Network: "oak", Direction: "in", State: ipc.ShareActive, Label: "Chris", Exit: true,
		Devices: []ipc.SharedDevice{{Name: "nas", FQDN: "nas.oak.internal", Exit: true, Online: true, Path: ipc.PathDirect}}}}
	n.Exit.Using = ptr("nas.oak")
	b.take(st)
	pick := func(shared bool) {
		t.Helper()
		for i, d := range b.devices().rows {
			if d.Peer.Name == "nas" && (d.Shared != "") == shared {
				b.devices().list.Select(i)
				return
			}
		}
		t.Fatal("no such device")
	}
	pick(true)
	b.click("Turn off")
	b.did1("exit off id-home")
	n.Exit.Using = ptr("nas")
	b.take(st)
	b.click("Use as exit node")
	b.did1("exit use nas.oak.internal, lan as it is")
	pick(false)
	b.click("Turn off")
	b.did1("exit off id-home")
}

// picked is where a dialog asks for a device.
func (b *bench) picked() (found *pick) {
	walk(b.win.Canvas().Overlays().Top(), func(o fyne.CanvasObject) {
		if p, ok := o.(*pick); ok {
			found = p
		}
	})
	return found
}

// TestShareFormFollows: a device that is chosen in an open dialog is shared and no
// other, whatever is called so meanwhile.
func TestShareFormFollows(t *testing.T) {
	b := newBench(t)
	st := sample()
	b.take(st)
	b.Open("share")
	b.picked().SetText("nas")
	key := st.Networks[0].Peers[0].Key
	b.take(two()) // names have their network behind them now
	st = two()
	st.Networks[0].Peers[0].Name, st.Networks[0].Peers[1].Name = "old-nas", "nas"
	b.take(st)
	b.click("Make a link")
	b.did1("share [" + key + "] [445/tcp] exit false confirm true for 2592000")

	b = newBench(t)
	b.take(sample())
	b.Open("share")
	b.picked().SetText("nas")
	st = sample()
	st.Networks[0].Peers = st.Networks[0].Peers[1:]
	b.take(st)
	b.click("Make a link")
	b.see("There is no such device.")
	b.did1("")
}

// TestShareAskedLongAgo: who went elsewhere before the state came is not shown the
// dialog of a new share when coming back.
func TestShareAskedLongAgo(t *testing.T) {
	b := newBench(t)
	b.Open("share")
	b.Open("devices")
	b.take(sample())
	b.Open("sharing")
	b.unseen("Share a device with a friend")
}

// TestTimesGoOn: what is said of times past is said anew as time passes.
func TestTimesGoOn(t *testing.T) {
	b := newBench(t)
	now := t0
	b.env.Now = func() time.Time { return now }
	st := sample()
	st.Networks[0].Peers[5].LastSeen = ptr(t0.Add(-5 * time.Minute))
	st.Networks[0].Shares[0].Guests[1].LastSeen = ptr(t0.Add(-5 * time.Minute))
	for _, page := range []string{"exits", "sharing"} {
		now = t0
		b.take(st)
		b.Open(page)
		b.see("Last seen 5 min ago")
		now = t0.Add(2 * time.Minute)
		b.take(st)
		b.capture()
		b.see("Last seen 7 min ago")
	}
}

// TestNothingIsKnown: no page says what it cannot know.
func TestNothingIsKnown(t *testing.T) {
	b := newBench(t)
	b.Set(model.New("1.4").View(t0))
	for page, claim := range map[string]string{"exits": "No exit node", "diagnostics": "No problems.", "networks": "no network", "sharing": "Nothing"} {
		b.Open(page)
		b.unseen(claim)
		b.see("This shows once the background service answers.")
	}
	b.take(sample())
	b.Open("diagnostics")
	b.see("No problems.")
}

// TestCheckedWhileItStarted: checks that failed while the service came back are
// made again.
func TestCheckedWhileItStarted(t *testing.T) {
	b := newBench(t)
	b.stop()
	b.hold = true
	b.Open("diagnostics")
	b.take(status(1))
	b.hold = false
	b.fake.err = ipc.Errorf(ipc.CodeUnreachable, "gone")
	work := b.held
	b.held = nil
	b.env.Go = func(f func()) { b.fake.err = nil; f() }
	for _, f := range work {
		f()
	}
	b.see("Names")
	b.unseen("Not reachable")
}

// TestDiagnosticsOffersWhatCanBeDone: as the banner does.
func TestDiagnosticsOffersWhatCanBeDone(t *testing.T) {
	b := newBench(t)
	st := sample()
	die(&st, 2)
	b.take(st)
	b.Open("diagnostics")
	d := b.pages["diagnostics"].(*diagnostics)
	has := func(words string) (n int) {
		walk(d.problems, func(o fyne.CanvasObject) {
			if button, ok := o.(*Button); ok && button.Text == words {
				n++
			}
		})
		return n
	}
	if has("Turn off") != 1 || has("Choose another") != 1 {
		t.Error("the page offers less than the banner")
	}
	st.May = nil
	b.take(st)
	if has("Turn off") != 0 || has("Choose another") != 1 {
		t.Error("who may only look is offered to turn the exit node off")
	}
}

// TestEnterTwice asks once.
func TestEnterTwice(t *testing.T) {
	b := newBench(t)
	b.take(status(2))
	b.devices().list.Select(0)
	for _, button := range []string{"Rename…", "Role and tags…"} {
		b.click(button)
		_, fields := b.form()
		for _, f := range fields {
			if f.OnSubmitted != nil {
				f.SetText("other")
				b.hold = true
				f.OnSubmitted("")
				f.OnSubmitted("")
				if len(b.held) != 1 {
					t.Errorf("%s asks %d times", button, len(b.held))
				}
				b.release()
			}
		}
	}
}

// TestRequestsComeByThemselves: what devices ask an admin for shows on Networks
// without leaving it.
func TestRequestsComeByThemselves(t *testing.T) {
	b := newBench(t)
	now := t0
	b.env.Now = func() time.Time { return now }
	b.take(sample())
	b.Open("networks")
	b.fake.list.Devices = []ipc.Device{{Name: "cabin", Key: "k", Asks: []ipc.Request{{Kind: "renew"}}}}
	now = t0.Add(time.Minute)
	b.take(sample()) // as once a minute
	b.see("cabin asks to renew its access")
}

// TestLANSwitchUnderWay: latencies that change do not take a click back before it
// was answered.
func TestLANSwitchUnderWay(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.Open("exits")
	e := b.pages["exits"].(*exits)
	b.hold = true
	b.click("Allow local network: printers and others here stay reachable")
	st := sample()
	st.Networks[0].Peers[0].LatencyMS = ptr(2.0)
	b.take(st)
	if e.lan.Checked {
		t.Error("a click is taken back before its answer")
	}
	b.fake.err = ipc.Errorf(ipc.CodeInternal, "no")
	b.release()
	if !e.lan.Checked || e.lan.Disabled() {
		t.Error("after a failure the switch does not show the truth")
	}
}

// TestWelcomeToTheNetworkThatIs: one that this device was removed from does not
// hide the words of welcome.
func TestWelcomeToTheNetworkThatIs(t *testing.T) {
	b := newBench(t)
	b.prefs.Welcomed = false
	st := two()
	st.Networks[0].Self.Role = ipc.RoleRemoved
	b.take(st)
	b.see("Look for Kith in your tray")
}
