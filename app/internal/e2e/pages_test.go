//go:build gui

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"kith.internal/ipc"
)

// member is a helper in a network with peers, of which nas and vps are exit
// nodes.
func member(t *testing.T, b *bed) *helper {
	t.Helper()
	h := newHelper()
	n := home("laptop")
	n.Peers = peers()
	n.Peers[0].Exit, n.Peers[2].Exit, n.Peers[5].Exit = true, true, true
	h.change(func(st *ipc.Status) { st.Networks = []ipc.Network{n} })
	h.start(t, b.sock)
	return h
}

// TestExitNodes switches the exit node from the tray and back; then it dies.
func TestExitNodes(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := member(t, b)
	b.launch("--background")
	b.menuHas("Exit node: None")
	on := b.host.icon()
	b.host.click(b, "vps")
	b.menuHas("Exit node: vps")
	b.until("another icon", func() bool { i := b.host.icon(); return len(i.Data) > 0 && string(i.Data) != string(on.Data) })
	b.host.click(b, "Allow local network")
	b.until("the check", func() bool { r, ok := findRow(b.host.menu(), "Allow local network"); return ok && r.checked })
	b.host.click(b, "None")
	b.menuHas("Exit node: None")
	b.host.click(b, "nas")
	b.menuHas("Exit node: nas")
	if !h.wasCalled("exit off") {
		t.Errorf("calls %v", h.calls)
	}
	b.menuLocks("media (offline)")
}

// TestExitDies is the banner of an exit node that goes offline.
func TestExitDies(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := member(t, b)
	b.launch("--background")
	b.host.click(b, "nas")
	b.menuHas("Exit node: nas")
	h.exitDies(0)
	b.menuHas("⚠ Exit node nas is offline. Internet traffic is blocked.")
	b.until("a notification", func() bool { return b.host.noted("Exit node nas is offline. Internet traffic is blocked.") })
	b.host.click(b, "⚠ Exit node nas is offline. Internet traffic is blocked.")
	b.see("Choose another")
	b.shot("1-blocked")
	b.typing("vps")
	b.key("Return")
	b.see("Internet traffic goes through vps.")
	b.menuHas("Exit node: vps")
	b.shot("2-another")
	h.exitDies(2)
	b.see("Exit node vps is offline.")
	b.click("Turn off")
	b.see("No exit node: internet traffic goes out from this network.")
	b.menuHas("Exit node: None")
}

// TestShares offers a device, compares words, and accepts a friend's share by
// its link.
func TestShares(t *testing.T) {
	b := newBed(t, true)
	b.host.appear(t)
	h := member(t, b)
	b.launch()
	b.see("vps")
	b.typing("nas")
	b.key("Down")
	b.see("Share…")
	b.click("Share…")
	b.see("Share a device with a friend")
	b.shot("1-share")
	b.click("Make a link")
	b.see("The first who opens this link gets the share.")
	b.shot("2-link")
	b.click("Copy")
	b.until("the link on the clipboard", func() bool { return b.clipboard() == shareLink })
	b.click("Close")
	if !h.wasCalled("share nas [445/tcp]") {
		t.Errorf("calls %v", h.calls)
	}
	h.net(func(n *ipc.Network) {
		sh := n.Shares[0]
		sh.State, sh.Label, sh.Words = ipc.ShareConfirm, "Ben", []string{"amber", "canyon", "ribbon", "walnut"}
		n.Shares = []ipc.Share{sh}
	})
	b.see("Ben accepted your share of nas.")
	b.click("Look")
	b.see("amber  canyon  ribbon  walnut")
	b.shot("3-confirm")
	b.click("They are the same")
	b.see("Open · File sharing")
	if code, errs := b.once(shareLink); code != 0 {
		t.Fatal(code, errs)
	}
	b.see("Nothing happens before you click Accept.")
	b.shot("4-preview")
	b.click("Accept")
	b.see("Accepted. You reach it as media.oak.internal.")
	b.click("OK")
	b.see("From Chris (its own word), network oak")
	b.shot("5-shares")
}

// TestNearbyFake joins a network on the LAN, and lets a device in.
func TestNearbyFake(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHelper()
	h.change(func(st *ipc.Status) {
		st.Nearby.Networks = []ipc.NearbyNetwork{{ID: "n", Name: "home", By: "nas", Until: time.Now().Add(9 * time.Minute)}}
	})
	h.start(t, b.sock)
	b.launch()
	b.click("Networks")
	b.see("opened by nas")
	b.click("Ask to join")
	b.typing("laptop")
	b.key("Return")
	b.see("417 302")
	b.shot("1-digits")
	b.click("They are the same")
	b.see("Now the admin has to say yes on nas.")
	if !h.wasCalled("nearby join laptop true") || !h.wasCalled("nearby approve n true") {
		t.Errorf("calls %v", h.calls)
	}
	close(h.joined)
	b.see("This device is in home now.")
	b.click("OK")
	h.net(func(n *ipc.Network) { n.Self.Role = ipc.RoleOwner })
	b.see("tablet wants to be called kitchen") // the last that moves the rows
	b.click("Open for devices nearby")
	b.see("Open for devices nearby until")
	h.change(func(st *ipc.Status) {
		st.Nearby.Asking = []ipc.NearbyAsking{{ID: "a7", Network: "home", Name: "new-phone", OS: "Android", Digits: "080514"}}
	})
	b.see("new-phone asks to join home.")
	b.see("080 514")
	b.shot("2-asking")
	b.click("Same digits: let it in")
	b.until("the approval", func() bool { return h.wasCalled("nearby approve a7 true") })
}

// install does for this account what make run does: the links.
func (b *bed) install() {
	b.t.Helper()
	bin := b.t.TempDir()
	if err := os.Symlink(app, filepath.Join(bin, "kith-app")); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "kith"), nil, 0o755); err != nil {
		b.t.Fatal(err)
	}
	home := filepath.Join(filepath.Dir(b.run), "home")
	// Without polkit's folder the script leaves root's files alone.
	out, err := exec.Command("env", "-i", "PATH="+os.Getenv("PATH"), "HOME="+home, "KITH_NO_POLKIT=1", "../../../installer/linux/desktop.sh", "install", bin).CombinedOutput()
	if err != nil {
		b.t.Fatalf("desktop.sh: %v\n%s", err, out)
	}
}

// TestLinkFromTheDesktop opens a link as a browser does: by what make run
// installs, through xdg-open.
func TestLinkFromTheDesktop(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHelper()
	h.start(t, b.sock)
	b.install()
	b.launch("--background")
	b.menuHas("○ No networks yet")
	if out, err := b.tool("xdg-open", link); err != nil {
		t.Fatal(err, out)
	}
	b.see("amber  canyon  ribbon  walnut")
	b.shot("preview")
	if len(h.st.Joining) != 0 || len(h.calls) != 0 {
		t.Errorf("a click on a link did something: %v", h.calls)
	}
	b.key("Escape")
	b.gone("amber  canyon")
	if out, err := b.tool("xdg-open", "kith://join/junk"); err != nil {
		t.Fatal(err, out)
	}
	b.see("That is no Kith link")
}

// TestGerman speaks the language of the session.
func TestGerman(t *testing.T) {
	b := newBed(t, false)
	b.env = append(b.env, "LANG=de_DE.UTF-8")
	b.host.appear(t)
	member(t, b)
	b.launch()
	b.menuHas("● Verbunden – 5 von 7 Geräten")
	b.see("Zuletzt gesehen vor 3 h")
	b.shot("1-devices")
	for i, page := range []string{"Netzwerke", "Freigaben", "Exit-Nodes", "Diagnose", "Einstellungen"} {
		b.click(page)
		b.shot(string(rune('2'+i)) + "-" + page)
	}
}
