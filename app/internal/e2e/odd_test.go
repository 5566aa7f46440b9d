//go:build gui

package e2e

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"kith.internal/app/internal/desktop"
	"kith.internal/ipc"
)

// oddNames are such as nobody should have.
var oddNames = []string{strings.Repeat("a", 63), "tv😀🎉", "\u202eevil", "<b>bold</b> & <i>more</i>", "a\x00b\x1b[31m", strings.Repeat("long ", 2000), "سلام", "\xff\xfe", "a_b&c"}

// TestOddNames gives devices, networks and friends names that are long, have
// markup, control characters or run from right to left. Menu, window and
// notifications show them tame.
func TestOddNames(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHelper()
	n := home("laptop")
	for i, name := range oddNames {
		p := peers()[0]
		p.Name, p.FQDN, p.Key, p.Exit, p.Tags, p.OS = name, name+".home.internal", fmt.Sprint("odd", i), true, []string{name}, &name
		n.Peers = append(n.Peers, p)
		n.Shares = append(n.Shares, ipc.Share{ID: fmt.Sprint(i), Name: name, Label: name, Network: name, Direction: "in", State: ipc.ShareActive, Ports: []string{name},
			Devices: []ipc.SharedDevice{{Name: name, FQDN: name + ".oak.internal"}}})
	}
	h.change(func(st *ipc.Status) { st.Networks = []ipc.Network{n} })
	h.start(t, b.sock)
	cmd := b.launch()
	b.see("tv😀🎉")
	win := b.windowPid()
	for i, page := range []string{"Devices", "Networks", "Sharing", "Exit nodes", "Diagnostics", "Settings"} {
		b.click(page)
		for _, s := range b.texts() {
			tame(t, page, s)
		}
		b.shot(fmt.Sprint(i+1, "-", strings.ReplaceAll(page, " ", "-")))
	}
	b.click("Devices")
	for range oddNames {
		b.key("Down")
	}
	b.shot("7-details")
	for _, r := range flat(b.host.menu()) {
		tame(t, "the menu", r.label)
		if len([]rune(r.label)) > 250 {
			t.Errorf("a row of %d characters", len([]rune(r.label)))
		}
	}
	const evil = "<b>bold</b> & <i>more</i>"
	h.change(func(st *ipc.Status) {
		st.Health = []ipc.Health{{Code: ipc.HealthExitBlocked, Severity: ipc.SeverityError, Network: "home", Args: map[string]string{"device": evil, "why": "offline"}}}
	})
	b.see("Exit node " + evil + " is offline.")
	b.click("Settings")
	h.change(func(st *ipc.Status) {
		st.Health = []ipc.Health{{Code: "code-of-a-newer-helper", Severity: "odd", Text: "a\x00b" + strings.Repeat(" long", 5000), Args: map[string]string{"x": "\x1b"}}}
	})
	b.until("the new words", func() bool { _, ok := b.find("a"); return ok && !strings.Contains(strings.Join(b.texts(), ""), evil) })
	b.shot("8-newer")
	if !alive(cmd.Process.Pid) || !alive(win) {
		t.Error("a process died")
	}
}

func flat(list []row) (all []row) {
	for _, r := range list {
		all = append(append(all, r), flat(r.sub)...)
	}
	return all
}

// tame checks that a text on show holds nothing that runs wild.
func tame(t *testing.T, where, s string) {
	t.Helper()
	for _, r := range s {
		if r != '\n' && (unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069') {
			t.Errorf("%s shows %q", where, s)
			return
		}
	}
}

// TestJunkForTheTray writes what no process of the app would to the sockets that
// hand links over: a megabyte, half a message, a link that is too long. Both
// processes live on, and a good link still comes through.
func TestJunkForTheTray(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHelper()
	h.start(t, b.sock)
	cmd := b.launch()
	b.see("Welcome to Kith")
	win := b.windowPid()
	dir := filepath.Join(b.run, "kith-app")
	for _, role := range []string{"tray", "window"} {
		for _, junk := range []string{
			strings.Repeat("x", 1<<20), `{"verb":"open","link":"kith://join/` + strings.Repeat("A", 1<<20) + `"}`, `{"verb":"op`, "\x00\xff", `{"verb":"none"}`, `{"verb":"open","page":"../../etc"}`,
		} {
			c, err := net.Dial("unix", filepath.Join(dir, role+".sock"))
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, junk) // it may be cut off
			c.Close()
		}
		if err := desktop.Send(dir, role, desktop.Message{Verb: desktop.MsgOpen, Link: "kith://join/" + strings.Repeat("A", 1<<20)}); err == nil {
			t.Errorf("the %s takes a link of a megabyte", role)
		}
	}
	if !alive(cmd.Process.Pid) || !alive(win) {
		t.Fatal("a process died")
	}
	if code, errs := b.once("kith://join/junk"); code != 0 {
		t.Fatal(code, errs)
	}
	b.see("That is no Kith link")
	b.shot("junk")
	if len(h.st.Joining) != 0 {
		t.Error("junk did something")
	}
}

// TestNoNotifications has a session bus on which nobody shows notifications.
func TestNoNotifications(t *testing.T) {
	b := newBed(t, false)
	if _, err := b.host.conn.ReleaseName(noteName); err != nil {
		t.Fatal(err)
	}
	b.host.appear(t)
	h := member(t, b)
	cmd := b.launch("--background")
	b.host.click(b, "nas")
	b.menuHas("Exit node: nas")
	h.exitDies(0)
	b.menuHas("⚠ Exit node nas is offline. Internet traffic is blocked.")
	b.host.click(b, "laptop.home.internal")
	b.until("the name on the clipboard", func() bool { return b.clipboard() == "laptop.home.internal" })
	if !alive(cmd.Process.Pid) {
		t.Error("the tray died")
	}
}

// TestScales draws the window at the scales of usual screens, and clicks.
func TestScales(t *testing.T) {
	for _, scale := range []string{"1.25", "2"} {
		t.Run(scale, func(t *testing.T) {
			b := newBed(t, scale == "2", "-screen", "0", "2200x1500x24")
			b.env = append(b.env, "FYNE_SCALE="+scale)
			b.host.appear(t)
			member(t, b)
			b.launch()
			b.see("Relayed via vps")
			b.click("office-desktop")
			b.see("No direct way is open")
			b.shot("1-devices")
			for i, page := range []string{"Networks", "Sharing", "Exit nodes", "Diagnostics", "Settings"} {
				b.click(page)
				b.shot(fmt.Sprint(i+2, "-", strings.ReplaceAll(page, " ", "-")))
			}
		})
	}
}
