package ui

import (
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"kith.internal/ipc"
)

// empty is the state of a service without networks.
func empty() ipc.Status {
	return ipc.Status{Schema: 1, Version: "1.4", State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}}
}

func invite(network string) ipc.Preview {
	return ipc.Preview{Kind: "join", ID: "id-" + network, Network: network, Sponsor: "nas", Expires: t0.Add(time.Hour)}
}

// TestLinkBeforeService: a link that was clicked while the service was not there
// is looked at again once it is.
func TestLinkBeforeService(t *testing.T) {
	b := newBench(t)
	b.fake.err = ipc.Errorf(ipc.CodeUnreachable, "gone")
	b.stop()
	b.ShowLink("kith://join/ok")
	b.see("The background service isn't running.")
	b.fake.err, b.fake.preview = nil, invite("home")
	b.take(empty())
	b.see("Nothing happens before you click Join.")
	b.click("Join")
	b.did1("join kith://join/ok ")
}

// TestServiceEndsInTheDialog: what cannot be done is not offered, and the dialog
// says why.
func TestServiceEndsInTheDialog(t *testing.T) {
	b := newBench(t)
	b.take(empty())
	b.fake.preview = invite("home")
	b.ShowLink("kith://join/ok")
	b.stop()
	if !b.join.join.Disabled() || b.join.problem.Text != "The background service isn't running." {
		t.Errorf("without the service Join can be clicked: %v, it says %q", !b.join.join.Disabled(), b.join.problem.Text)
	}
	b.take(empty())
	b.unseen("The background service isn't running.")
	b.hold = true
	b.click("Join")
	b.stop()
	b.fake.err = ipc.Errorf(ipc.CodeUnreachable, "gone")
	b.release()
	b.see("The background service isn't running.")
	if !b.join.join.Disabled() {
		t.Error("Join can be clicked without the service after it failed")
	}
	b.fake.err = nil
	b.take(empty())
	b.click("Join")
}

// TestJoinGoesOn: after the wait ran out a join goes on in the service; the dialog
// does not offer it anew, and ends with it.
func TestJoinGoesOn(t *testing.T) {
	b := newBench(t)
	b.take(empty())
	b.fake.preview = invite("home")
	b.ShowLink("kith://join/ok")
	b.fake.err = ipc.Errorf(ipc.CodeTimeout, "no answer")
	b.click("Join")
	b.fake.err = nil
	b.see("nas does not answer yet.")
	b.stop()
	st := empty()
	st.Joining = []ipc.Joining{{ID: "id-home", Network: "home", Sponsor: "nas", Stage: ipc.JoinSearching, Expires: t0.Add(time.Hour)}}
	b.take(st)
	b.see("nas does not answer yet.")
	if !b.join.join.Disabled() {
		t.Error("a join under way can be begun anew")
	}
	st.Joining[0].Stage = ipc.JoinAsking
	b.take(st)
	b.unseen("nas does not answer yet.")
	b.take(status(2))
	if b.join != nil {
		t.Error("the dialog stays after the join has come through")
	}
	b.see("This device is in home now.")
}

// TestNextLink: a link that is clicked while another is being joined comes after
// it, under a title of its own.
func TestNextLink(t *testing.T) {
	b := newBench(t)
	b.take(status(1))
	b.fake.preview = invite("cabin")
	b.ShowLink("kith://join/cabin")
	b.see("Join a network")
	b.fake.preview = ipc.Preview{Kind: "share", Network: "oak", Sponsor: "bird", Expires: t0.Add(time.Hour)}
	b.ShowLink("kith://share/oak")
	b.see("bird", "Accept a share")
	b.unseen("Join a network")
	b.hold = true
	b.click("Accept")
	b.ShowLink("kith://join/next")
	b.fake.preview = invite("next")
	b.release()
	b.see("next")
	b.unseen("bird")
	b.click("Join")
	b.did1(`accept kith://share/oak into "id-home" as ""; join kith://join/next `)
}

// TestDialogBelowEnds: a dialog that ends by itself leaves those over it alone.
func TestDialogBelowEnds(t *testing.T) {
	b := newBench(t)
	st := status(1)
	st.Nearby.Networks = []ipc.NearbyNetwork{{ID: "n", Name: "cabin", By: "bear"}}
	b.take(st)
	b.hold = true
	b.showNearby(st.Nearby.Networks[0])
	b.click("Ask to join")
	b.fake.preview = invite("attic")
	b.hold = false
	b.ShowLink("kith://join/attic")
	b.release()
	b.see("is in home now")
	b.click("OK")
	b.see("kith://join/attic")
	if b.join == nil {
		t.Fatal("the link's dialog is taken for closed")
	}
	b.click("Cancel")
	b.Open("create")
	test.Type(b.win.Canvas().Focused(), "shed")
	b.click("Create")
	b.see("24  word")
	b.ShowLink("kith://join/attic")
	b.see("24  word")
}

// TestNearbyFollows what is heard on the LAN.
func TestNearbyFollows(t *testing.T) {
	b := newBench(t)
	heard := func(digits string) ipc.Status {
		st := empty()
		n := ipc.NearbyNetwork{ID: "n", Name: "cabin", By: "bear"}
		if digits != "" {
			n.Digits = &digits
		}
		st.Nearby.Networks = []ipc.NearbyNetwork{n}
		return st
	}
	b.take(heard(""))
	b.Open("networks")
	b.click("Ask to join")
	b.take(empty())
	b.see("cabin is no longer open.")
	if !b.near.ask.Disabled() {
		t.Error("a network that is closed can be asked for")
	}
	b.take(heard(""))
	b.unseen("no longer open")
	b.hold = true
	b.click("Ask to join")
	b.take(heard("111222"))
	b.see("111 222")
	b.fake.err = ipc.Errorf(ipc.CodeRefused, "no")
	b.release()
	b.unseen("111 222")
	b.fake.err, b.hold = nil, true
	b.click("Ask to join")
	b.take(heard("111222")) // still those of the first try
	b.unseen("111 222")
	b.take(heard(""))
	b.take(heard("333444"))
	b.see("333 444")
	b.take(heard("555666"))
	b.see("555 666")
	b.unseen("333 444")
}

// TestWindowStaysWithThePhrase: the window does not close over words that are shown once.
func TestWindowStaysWithThePhrase(t *testing.T) {
	b := newBench(t)
	b.take(empty())
	b.Open("create")
	test.Type(b.win.Canvas().Focused(), "home")
	b.click("Create")
	b.shortcut(fyne.KeyW)
	b.see("These words are shown once.", "24  word")
	b.click("OK")
	b.shortcut(fyne.KeyQ)
	if b.quit != "" {
		t.Error("it quits while the words are on show")
	}
	b.click("OK")
	b.click("I have written them down")
	b.click("Done")
	b.shortcut(fyne.KeyQ)
	if b.quit != "quit false" {
		t.Errorf("afterwards: %q", b.quit)
	}
}
