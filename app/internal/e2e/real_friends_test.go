//go:build gui

package e2e

import (
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"

	"kith.internal/ipc"
)

// TestRealLink joins from a link clicked on a second host, where the app runs
// already: the second launch hands its link over.
func TestRealLink(t *testing.T) {
	b := newBed(t, false)
	b.host.appear(t)
	h := newHosts(t, []*bed{b}, 1)
	h.start(b, 0)
	h.start(b, 1)
	h.create(1, "home", "nas")
	link := h.kith(1, "invite")
	b.install()
	b.launch("--background")
	b.menuHas("○ No networks yet")
	if out, err := b.tool("xdg-open", link); err != nil {
		t.Fatal(err, out)
	}
	b.see("Nothing happens before you click Join.")
	b.see("all devices of home")
	b.shot("1-preview")
	var st ipc.Status
	if err := json.Unmarshal([]byte(h.kith(0, "status", "--json")), &st); err != nil || len(st.Networks)+len(st.Joining) > 0 {
		t.Errorf("a click on a link did something: %v %+v", err, st)
	}
	b.click("the computer's own name")
	b.typing("laptop")
	b.click("Join")
	b.see("This device is in home now.")
	b.shot("2-joined")
	b.click("OK")
	b.menuHas("● Connected — 2 of 2 devices")
	b.key("ctrl+f")
	b.see("LAN")
	b.shot("3-devices")
	b.until("an answer by name", func() bool { return h.on(0, "ping", "-c", "1", "-W", "2", "nas.home.internal").Run() == nil })
}

// TestRealNearby joins without a link: both windows show the same digits, and
// both sides say so.
func TestRealNearby(t *testing.T) {
	admin, guest := newBed(t, false), newBed(t, true)
	admin.host.appear(t)
	guest.host.appear(t)
	h := newHosts(t, []*bed{admin, guest}, 0)
	h.start(admin, 0)
	h.start(guest, 1)
	h.create(0, "home", "laptop")
	admin.launch()
	guest.launch()
	admin.click("Networks")
	guest.see("Welcome to Kith")
	guest.click("Networks")
	admin.click("Open for devices nearby")
	admin.see("Open for devices nearby until")
	admin.shot("1-open")
	guest.see("opened by laptop")
	guest.shot("2-heard")
	guest.click("Ask to join")
	guest.see("laptop holds home open for devices nearby.")
	guest.typing("tv")
	guest.key("Return")
	guest.see("Compare these digits with those on laptop.")
	admin.see("tv asks to join home. Compare the digits.")
	there, here := guest.digits(), admin.digits()
	if there != here {
		t.Errorf("the admin sees %s, who joins %s", here, there)
	}
	guest.shot("3-digits-guest")
	admin.shot("3-digits-admin")
	guest.click("They are the same")
	guest.see("Now the admin has to say yes on laptop.")
	admin.click("Same digits: let it in")
	guest.see("This device is in home now. Its name is tv.home.internal.")
	guest.shot("4-joined")
	guest.click("OK")
	guest.menuHas("● Connected — 2 of 2 devices")
	admin.menuHas("● Connected — 2 of 2 devices")
	admin.click("Devices")
	admin.see("tv")
	admin.shot("5-there")
}

var sixDigits = regexp.MustCompile(`^\d{3} \d{3}$`)

// digits are those on show.
func (b *bed) digits() (found string) {
	b.t.Helper()
	b.until("six digits", func() bool {
		for _, s := range b.texts() {
			if sixDigits.MatchString(s) {
				found = s
			}
		}
		return found != ""
	})
	return found
}

// TestRealShare shares one device of a network with a friend, who accepts it on
// a host of a network of her own and then reaches it, and it alone.
func TestRealShare(t *testing.T) {
	owner, friend := newBed(t, false), newBed(t, true)
	owner.host.appear(t)
	friend.host.appear(t)
	h := newHosts(t, []*bed{owner, friend}, 1)
	for i := range 3 {
		h.start(owner, i)
	}
	h.create(0, "home", "laptop")
	h.join(2, 0, "nas")
	h.create(1, "oak", "desk")
	files := h.listen(h.name[2], ":445")
	go func() {
		for {
			c, err := files.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "files\n")
			c.Close()
		}
	}()

	owner.launch()
	owner.menuHas("● Connected — 2 of 2 devices")
	owner.see("LAN")
	owner.typing("na")
	owner.key("Down")
	owner.click("Share…")
	owner.see("Share a device with a friend")
	owner.shot("1-share")
	owner.click("Make a link")
	owner.see("The first who opens this link gets the share.")
	owner.shot("2-link")
	owner.click("Copy")
	var link string
	owner.until("the link on the clipboard", func() bool { link = owner.clipboard(); return strings.HasPrefix(link, "kith://share/") })
	owner.click("Close")

	friend.launch("--background")
	friend.menuHas("● Connected — no other devices yet")
	if code, errs := friend.once(link); code != 0 {
		t.Fatal(code, errs)
	}
	friend.see("Nothing happens before you click Accept.")
	friend.shot("3-preview")
	friend.click("Accept")
	friend.see("Accepted. The owner has to approve it:")
	friend.shot("4-asking")
	friend.click("OK")

	owner.see("desk accepted your share of nas.")
	owner.click("Look")
	owner.see("They are the same")
	owner.shot("5-confirm")
	if here, there := owner.fourWords(), friend.fourWords(); here != there {
		t.Errorf("the owner sees %q, the friend %q", here, there)
	}
	owner.click("They are the same")
	owner.see("Open · File sharing")
	friend.see("nas.home.internal")
	friend.until("nas to be online", func() bool { _, ok := friend.find("LAN"); return ok })
	friend.shot("6-friend")
	friend.until("an answer by name", func() bool { return h.fetch(1, "nas.home.internal", "445") == "files" })
	friend.click("Devices")
	friend.see("nas")
	friend.shot("7-friend-devices")
	owner.until("who comes", func() bool { _, ok := owner.find("desk"); return ok })
	owner.shot("8-owner")

	owner.click("End share…")
	owner.see("End this share?")
	owner.shot("9-end")
	owner.click("End share")
	owner.see("Ended")
	friend.until("the end of it", func() bool { return h.fetch(1, "nas.home.internal", "445") == "" })
	friend.click("Sharing")
	friend.shot("10-ended")
}

var fourWords = regexp.MustCompile(`^[a-z]+(  [a-z]+){3}$`)

// fourWords are those to be compared.
func (b *bed) fourWords() (found string) {
	b.t.Helper()
	b.until("four words", func() bool {
		for _, s := range b.texts() {
			if fourWords.MatchString(s) {
				found = s
			}
		}
		return found != ""
	})
	return found
}
