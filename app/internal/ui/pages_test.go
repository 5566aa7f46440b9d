package ui

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"

	app "kith.internal/app/internal/desktop"
	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// did tells the calls that the helper got, previews left out.
func (b *bench) did() string {
	var list []string
	for _, c := range b.fake.calls {
		if !strings.HasPrefix(c, "preview") {
			list = append(list, c)
		}
	}
	b.fake.calls = nil
	return strings.Join(list, "; ")
}

func (b *bench) did1(want string) {
	b.t.Helper()
	if got := b.did(); got != want {
		b.t.Errorf("did %q, want %q", got, want)
	}
}

func (b *bench) unseen(words string) {
	b.t.Helper()
	if all := b.texts(); strings.Contains(all, words) {
		b.t.Errorf("%q is on show:\n%s", words, all)
	}
}

func TestExits(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.Open("exits")
	b.see("Internet traffic goes through vps.", "nas", "used before", "In use", "Allow local network")
	p := b.pages["exits"].(*exits)
	if b.win.Canvas().Focused() != p.search {
		t.Error("the search has not the focus")
	}
	var names []string
	for _, r := range p.rows {
		names = append(names, r.Device.Peer.Name)
	}
	if got := strings.Join(names, " "); got != "vps nas cabin" {
		t.Errorf("order: %s", got)
	}
	test.Type(p.search, "na")
	p.search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	b.did1("exit use " + sample().Networks[0].Peers[0].Key + ", lan as it is")
	p.search.SetText("cabin") // offline: cannot be chosen
	p.search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	b.did1("")
	p.search.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	b.click("Allow local network: printers and others here stay reachable")
	b.did1("exit use , lan false")
	b.fake.err = ipc.Errorf(ipc.CodePermission, "x")
	p.lan.SetChecked(true)
	b.take(sample())
	if !p.lan.Checked {
		t.Error("the check shows the click and not the truth")
	}
	b.click("OK")
	b.fake.err = nil
	b.did()
	b.see("All of them, also in other places", "10.20.0.0/16", "192.168.1.0/24")
	b.click("192.168.1.0/24")
	b.did1("exit use , lan true [10.20.0.0/16]")
	b.click("All of them, also in other places")
	b.did1("exit use , lan true [10.20.0.0/16 192.168.1.0/24]")
	some := sample()
	some.Networks[0].Exit.LANs = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("172.20.0.0/24")}
	b.take(some)
	b.see("172.20.0.0/24 (not here now)")
	b.click("10.20.0.0/16")
	b.did1("exit use , lan true [10.20.0.0/16 192.168.1.0/24 172.20.0.0/24]")
	b.click("All of them, also in other places")
	b.did1("exit use , lan true")
	b.click("Allow local network: printers and others here stay reachable")
	b.did1("exit use , lan false [192.168.0.0/16 172.20.0.0/24]")
	some.Networks[0].Exit.LANs = some.Networks[0].Exit.LANs[1:]
	b.take(some)
	b.click("172.20.0.0/24 (not here now)")
	b.did1("exit use , lan false")
	some.Networks[0].Exit.LANAllowed = false
	b.take(some)
	if p.lans.Visible() || len(p.lans.Objects) > 0 {
		t.Error("the switches of local networks are there while none stays reachable")
	}
	b.take(sample())
	b.click("Turn off")
	b.did1("exit off id-home")

	st := sample()
	die(&st, 2)
	b.take(st)
	b.Open("devices")
	b.see("Exit node vps is offline. Internet traffic is blocked.", "Internet blocked — vps is offline")
	b.click("Choose another")
	if b.current != "exits" {
		t.Error("Choose another leads to", b.current)
	}
	b.banner.act.OnTapped()
	b.did1("exit off id-home")
	st.May = nil
	b.take(st)
	if b.banner.act.Visible() {
		t.Error("a reader can turn the exit node off")
	}
}

func TestShareADevice(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.devices().list.Select(2) // nas
	b.click("Share…")
	b.see("Share a device with a friend")
	b.click("SSH")
	b.click("Make a link")
	b.did1("share [" + sample().Networks[0].Peers[0].Key + "] [445/tcp 22/tcp] exit false confirm true for 2592000")
	b.see("kith://share/xyz", "to be accepted by tomorrow 12:00", "The first who opens this link gets the share.")
	b.click("Copy")
	if b.copied != "kith://share/xyz" {
		t.Error(b.copied)
	}
	b.click("Close")

	b.Open("share")
	f := b.win.Canvas().Focused().(*pick)
	b.click("Make a link")
	b.see("There is no such device.")
	f.SetText("laptop")
	b.click("File sharing")
	b.click("Make a link")
	b.see("Choose what the friend may use.")
	b.did1("")
	b.fake.err = ipc.Errorf(ipc.CodeUsage, `"http/tcp" is not a port such as 445/tcp, 60000-61000/udp or all`)
	b.click("SSH")
	b.click("Make a link")
	b.see("Write ports as 8096/tcp or 60000-61000/udp")
	b.fake.err = nil
	b.fake.calls = nil
	b.click("Everything")
	b.click("Make a link")
	b.did1("share [key-laptop] [all] exit false confirm true for 2592000")
}

func TestSharing(t *testing.T) {
	b := newBench(t)
	st := sample()
	st.Networks[0].Shares[1].State, st.Networks[0].Shares[1].Label, st.Networks[0].Shares[1].Words = ipc.ShareConfirm, "Eve <b>", []string{"amber", "walnut"}
	b.take(st)
	b.see("Eve <b> accepted your share of vps. Compare the words.")
	b.click("Look")
	b.see("With Ben (its own word)", "bens-laptop", "File sharing", "From Chris (its own word), network oak", "media.oak.internal", "Direct · 21 ms", "amber  walnut", "Waits for you")
	b.click("They are the same")
	b.did1("share approve s2")
	st.Networks[0].Shares[0].Both = true
	st.Networks[0].Shares[0].Refused = []ipc.Refusal{
		{At: t0.Add(-time.Hour), Code: ipc.CodeLinkUsed, Label: "eve", Link: true, Device: "nas", Count: 3},
		{At: t0.Add(-2 * time.Hour), Code: ipc.CodePassInvalid, Text: "the pass is another device's", Device: "vps", Count: 1},
	}
	b.take(st)
	b.see("both ways", "Refused 1 h ago: eve tried to accept the link. It was accepted already. 3 times.", "somebody came to vps. Its pass is not your friend's, or is not its own.")
	b.click("End share…")
	b.click("End share")
	b.did1("share revoke s1")
	b.click("Take off…")
	b.see("bens-laptop loses access to nas at once")
	b.click("Take off")
	b.did1("share revoke s1 fd00::b")
	b.see("Where they differ, somebody else has accepted your link")
	b.click("Give up…")
	b.see("All devices of your network lose media. To have it again takes a new link.")
	b.did1("")
	b.click("Give up")
	b.did1("share remove s3")
	b.Open("devices")
	b.see("media · oak", "from Chris")
	st.Networks[0].Shares[2].Why, st.Networks[0].Shares[2].WhyArgs = ptr(ipc.CodeNotConnected), map[string]string{"network": "home"}
	b.take(st)
	b.Open("sharing")
	b.see("home is disconnected.")
	st.Networks[0].Shares[0].Why, st.Networks[0].Shares[0].WhyArgs = ptr(ipc.CodePolicy), map[string]string{"network": "home"}
	st.Networks[0].Shares[2].Why = ptr(ipc.CodePolicy)
	b.take(st)
	b.see("The rules of home let nothing of it through.", "The rules of the owner's network let nothing of it through.")
}

func TestAcceptAShare(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.fake.preview = ipc.Preview{Kind: "share", Network: "oak", Sponsor: "chris-nas", Fingerprint: []string{"amber", "canyon"}, Expires: t0.Add(time.Hour), Reach: []string{"media"}, Ports: []string{"80/tcp", "443/tcp", "8096/tcp"}, Exit: true, More: 2, Confirm: true, Ends: ptr(t0.Add(30 * 24 * time.Hour))}
	b.fake.share = ipc.Share{State: ipc.ShareConfirm, Words: []string{"one", "two"}}
	b.ShowLink("kith://share/abc")
	b.see("Accept a share", "chris-nas", "Shared by", "media and 2 more", "Web pages, 8096/tcp · as exit node", "2026-04-03 12:00", "It opens once the owner has compared words with you.", "Nothing happens before you click Accept.")
	b.did1("")
	test.Type(b.join.device, "Anna")
	for _, c := range []struct {
		err  *ipc.Error
		want string
	}{
		{ipc.Errorf(ipc.CodeNotAdmin, "x"), "A share is accepted on an admin's device of your network"},
		{ipc.Errorf(ipc.CodeLinkUsed, "x"), "This link was used already. Ask for a new one."},
		{ipc.Errorf(ipc.CodeNotShared, "x"), "What was shared has left your friend's network."},
	} {
		b.fake.err = c.err
		b.click("Accept")
		b.see(c.want)
	}
	b.fake.err, b.fake.calls = nil, nil
	b.click("Accept")
	b.did1(`accept kith://share/abc into "id-home" as "Anna"`)
	b.see("tell them these words: one  two")
}

// nearbyBench has asked to join a network on this LAN, and sees the digits;
// the answer to the joining is held back until end is called.
func nearbyBench(t *testing.T) (b *bench, end func(error)) {
	t.Helper()
	b = newBench(t)
	st := ipc.Status{Schema: 1, State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}}
	st.Nearby.Networks = []ipc.NearbyNetwork{{ID: "n1", Name: "home", By: "nas", Until: t0.Add(8 * time.Minute)}}
	b.take(st)
	b.Open("networks")
	b.see("Open on this network", "opened by nas until today 12:08")
	at := b.env.Go
	b.env.Go = func(f func()) { end = func(err error) { b.fake.err = err; f() } }
	b.click("Ask to join")
	test.Type(b.win.Canvas().Focused(), "tablet")
	b.click("Ask to join")
	b.env.Go = at
	st.Nearby.Networks[0].Digits = ptr("417302")
	b.take(st)
	b.see("417 302", "Compare these digits with those on nas")
	return b, end
}

func TestNearby(t *testing.T) {
	b, end := nearbyBench(t)
	b.click("They are the same")
	b.see("Now the admin has to say yes on nas.", "417 302")
	end(nil)
	b.did1("nearby approve n1 true; nearby join n1 tablet, confirm true")
	b.see("This device is in home now.")
}

func TestNearbyDigitsDiffer(t *testing.T) {
	b, end := nearbyBench(t)
	b.click("They differ")
	end(ipc.Errorf(ipc.CodeDigitsDiffer, "no"))
	b.did1("nearby approve n1 false; nearby join n1 tablet, confirm true")
	b.see("The digits were not the same: somebody may stand in between. Nothing was joined.", "Ask to join")
	if all := b.texts(); strings.Contains(all, "417 302") || strings.Contains(all, "They are the same") {
		t.Errorf("the old digits are still to be compared:\n%s", all)
	}
}

func TestNearbyAdmin(t *testing.T) {
	b := newBench(t)
	st := sample()
	b.take(st)
	b.Open("networks")
	b.click("Open for devices nearby (10 minutes)")
	b.did1("nearby open id-home true")
	st.Nearby = ipc.Nearby{Open: []ipc.NearbyOpen{{Network: "home", Until: t0.Add(8 * time.Minute)}},
		Asking: []ipc.NearbyAsking{{ID: "a", Network: "home", Name: "new-phone", Digits: "417302"}}}
	b.take(st)
	b.see("new-phone asks to join home. Compare the digits.", "417 302", "Open for devices nearby until today 12:08.")
	b.click("Same digits: let it in")
	b.click("Refuse")
	b.did1("nearby approve a true; nearby approve a false")
}

func TestDetailsActions(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.devices().list.Select(2) // nas
	b.click("Use as exit node")
	b.click("Access…")
	b.see("Who reaches nas", "Everything", "Web pages, icmp", "Nobody")
	b.click("Close")
	key := sample().Networks[0].Peers[0].Key
	b.did1("exit use " + key + ", lan as it is; reach " + key)
	b.shortcut(fyne.KeyP)
	b.see("Direct · 20 ms — reached without a third device")
	b.did1("ping nas.home.internal true")
	if at := b.devices().detail.line.at; len(at) != 3 || at[1] != 40 || at[2] != 20 {
		t.Errorf("the sparkline has %v", at) // what was known, and both answers
	}
	b.devices().list.Select(3) // relayed: its path is explained
	b.see("The routers on both sides", "Why?")
	b.click("Why?")
	if b.current != "diagnostics" {
		t.Error(b.current)
	}
}

// shortcut presses a key with Ctrl or ⌘.
func (b *bench) shortcut(k fyne.KeyName) {
	b.t.Helper()
	b.pass(&desktop.CustomShortcut{KeyName: k, Modifier: fyne.KeyModifierShortcutDefault})
}

func TestKeys(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.shortcut(fyne.KeyE)
	if b.current != "exits" {
		t.Errorf("E leads to %s", b.current)
	}
	b.shortcut(fyne.KeyF)
	if b.win.Canvas().Focused() != b.pages["exits"].(*exits).search {
		t.Error("F leads away from the page's own search")
	}
	b.shortcut(fyne.KeyComma)
	if b.current != "settings" {
		t.Errorf("comma leads to %s", b.current)
	}
	b.shortcut(fyne.KeyF)
	if b.win.Canvas().Focused() != b.devices().search {
		t.Error("no search")
	}
	b.prefs.QuitDown = true
	b.shortcut(fyne.KeyQ)
	if b.quit != "quit true" {
		t.Error(b.quit)
	}
	b.shortcut(fyne.KeyJ)
	if b.join == nil {
		t.Error("no join dialog")
	}
}

func TestSettingsSections(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.openSettings("device")
	b.click("Offer this device as an exit node")
	b.click("Pass sealed packets on for members who cannot reach one another")
	b.did1("exit offer true false; forward true")
	b.openSettings("routes")
	b.see("10.20.0.0/16 behind office-desktop", "in use", "waits for an admin")
	b.click("Stop using")
	b.click("Approve")
	b.did1("route accept 10.20.0.0/16 false; route approve 192.168.7.0/24 cabin")
	entry := b.pages["settings"].(*settings).parts["routes"].(*routesSection).entry
	test.Type(entry, "10.1.2.3/16")
	b.click("Offer")
	b.did1("route add 10.1.0.0/16")
	test.Type(entry, "office")
	b.click("Offer")
	b.see("A subnet looks like 192.168.7.0/24.")
	b.openSettings("names")
	b.see("printer.home.internal", "10.20.0.53")
	b.click("Add")
	b.see("Give a name and a value.")
	n := b.pages["settings"].(*settings).parts["names"].(*namesSection)
	n.name.SetText("wiki")
	n.value.SetText("nas")
	b.click("Add")
	b.click("Remove")
	b.did1(`dns add wiki "" [nas]; dns remove corp.example NS`)
	b.openSettings("users")
	b.see("anna")
	test.Type(b.pages["settings"].(*settings).parts["users"].(*usersSection).entry, "bob")
	b.click("Add")
	b.see("bob")
	b.did1("operator add bob")
}

// TestExitOfferEnds: an offer that lets others into the local network is taken
// back whole.
func TestExitOfferEnds(t *testing.T) {
	b := newBench(t)
	st := sample()
	st.Networks[0].Exit.Offering, st.Networks[0].Exit.OfferLAN = true, true
	b.take(st)
	b.openSettings("device")
	b.click("Offer this device as an exit node")
	b.did1("exit offer false false")
}

func TestRules(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.openSettings("rules")
	r := b.pages["settings"].(*settings).parts["rules"].(*rulesSection)
	b.see("No rules are set: members reach members.")
	test.Type(r.edit, "{}")
	if !r.set1.Disabled() {
		t.Error("what was not checked can be put in force")
	}
	b.fake.policy = ipc.PolicyAnswer{Faults: []ipc.PolicyFault{{Line: 3, Column: 7, Text: "no device is called nsa"}}}
	b.click("Check")
	b.see("Line 3, column 7: no device is called nsa")
	if !r.set1.Disabled() {
		t.Error("faults can be put in force")
	}
	b.fake.policy = ipc.PolicyAnswer{Loses: []ipc.PolicyChange{{From: "tablet", To: "nas", Ports: []string{"22/tcp"}}}}
	b.click("Check")
	b.see("Would not be reachable any more", "tablet to nas", "SSH")
	test.Type(r.edit, " ")
	if !r.set1.Disabled() {
		t.Error("another text than the checked one can be put in force")
	}
	b.click("Check")
	b.click("Put in force")
	b.see("In force now.")
	if got := b.did(); !strings.HasSuffix(got, "dry false") || strings.Count(got, "dry true") != 3 {
		t.Error(got)
	}
}

func TestReport(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.Open("diagnostics")
	b.click("Report…")
	b.click("Save")
	b.see("Saved as /home/anna/report.txt")
	for _, name := range []string{"laptop", "nas", "office-desktop", "home", "192.168.", "100.71.", "fd12", "00000001"} {
		if strings.Contains(b.report, name) {
			t.Errorf("the report names %q:\n%s", name, b.report)
		}
	}
	b.click("OK")
	b.click("Report…")
	b.click("Replace names and addresses")
	b.full = errors.New("read-only file system")
	b.click("Save")
	b.see("Could not change it: read-only file system")
	if !strings.Contains(b.report, "office-desktop.home.internal: online true") {
		t.Error(b.report)
	}
}

func TestWelcomeOnce(t *testing.T) {
	b := newBench(t)
	b.prefs.Welcomed = false
	b.take(sample())
	b.see("This device is in home", "Look for Kith in your tray")
	b.full = errors.New("read-only")
	b.click("OK")
	b.take(sample())
	b.unseen("Look for Kith in your tray")
}

func TestAllowMe(t *testing.T) {
	b := newBench(t)
	st := sample()
	st.May = nil
	b.take(st)
	b.allow = nil
	b.click("Allow me…")
	b.see("change the VPN now")
	b.allow = app.ErrDeclined
	b.click("Allow me…")
	b.see("Cancelled:")
	b.allow = app.ErrRefused
	b.click("Allow me…")
	b.see("The system said no")
	b.click("OK")
	b.allow = errors.New("the service does not run")
	b.click("Allow me…")
	b.see("The account was not allowed: the service does not run")
}

func TestProblemActions(t *testing.T) {
	for _, tc := range []struct {
		code, click, did, see string
	}{
		{ipc.HealthDNSOverridden, "Repair", "dns repair", "Names are set up"},
		{ipc.HealthExpiring, "Ask to renew", "renew home", "Asked for. An admin has to approve it."},
	} {
		b := newBench(t)
		st := sample()
		st.Networks[0].Exit = ipc.Exit{}
		st.Health = []ipc.Health{{Code: tc.code, Severity: ipc.SeverityWarning, Network: "home", Args: map[string]string{"by": "x", "at": t0.Format(time.RFC3339)}}}
		b.Set(model.New("1").Take(st).View(t0.Add(time.Minute)))
		b.click(tc.click)
		b.see(tc.see)
		b.did1(tc.did)
	}
}

// TestChecksOfNetworks names the network of a check where there are several,
// and tells who was removed from one nothing of connecting it.
func TestChecksOfNetworks(t *testing.T) {
	b := newBench(t)
	st := sample()
	work := st.Networks[0]
	work.Name, work.Alias, work.ID, work.Peers = "work", "work", "id-work", nil
	st.Networks = append(st.Networks, work)
	b.fake.checks = []ipc.Check{
		{Code: ipc.CheckNetwork, Network: "home", OK: true},
		{Code: ipc.CheckNetwork, Network: "work", Fix: "kith up", Args: map[string]string{"case": ipc.CaseRemoved}},
	}
	b.take(st)
	b.Open("diagnostics")
	b.see("Connection of the network: home", "Connection of the network: work", "Ask an admin for a new invite")
	b.unseen("kith")
	st.Networks = st.Networks[:1]
	b.fake.checks = b.fake.checks[:1]
	b.take(st)
	b.click("Check again")
	b.unseen("Connection of the network:")
}

// TestNoClipboardForALink says that a link was not copied without showing it in the
// corner, where its 600 letters would stand in thirty lines.
func TestNoClipboardForALink(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.env.Copy = func(string) error { return app.ErrNoClipboard }
	b.copy("kith://join/" + strings.Repeat("A", 580))
	if got := b.toast.Text; !strings.HasPrefix(got, "Could not copy:") || strings.Contains(got, "AAA") {
		t.Error(got)
	}
}
