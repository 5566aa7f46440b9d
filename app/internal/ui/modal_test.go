package ui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// modals open each dialog.
var modals = map[string]func(*bench){
	"join": func(b *bench) {
		b.fake.preview = ipc.Preview{Kind: "join", Network: "work", ID: "id-work", Sponsor: "reception", Fingerprint: []string{"amber", "canyon", "ribbon", "walnut"}, Expires: t0.Add(time.Hour)}
		b.ShowLink("kith://join/abc")
	},
	"accept": func(b *bench) {
		b.fake.preview = ipc.Preview{Kind: "share", Network: "oak", Sponsor: "chris-nas", Fingerprint: []string{"amber", "canyon", "ribbon", "walnut"}, Expires: t0.Add(time.Hour), Reach: []string{"media"}, Ports: []string{"8096/tcp"}, Confirm: true}
		b.ShowLink("kith://share/abc")
	},
	"create": func(b *bench) { b.Open("create") },
	"share":  func(b *bench) { b.Open("share") },
	"invite": func(b *bench) { b.showInvite(b.view.Nets[0]) },
	"link":   func(b *bench) { b.showInvite(b.view.Nets[0]); b.click("Make a link") },
	"leave":  func(b *bench) { b.askLeave(b.view.Nets[0]) },
	"nearby": func(b *bench) { b.showNearby(ipc.NearbyNetwork{ID: "n", Name: b.view.Nets[0].Name, By: "nas"}) },
	"rename": func(b *bench) { b.askRename(b.devices().rows[1]) },
	"remove": func(b *bench) { b.askRemove(b.devices().rows[1]) },
	"remove admin": func(b *bench) {
		for _, d := range b.devices().rows {
			if d.Peer.Role == ipc.RoleAdmin {
				b.askRemove(d)
			}
		}
	},
	"role":   func(b *bench) { b.askRole(b.devices().rows[1]) },
	"reach":  func(b *bench) { b.showReach(b.devices().rows[1]) },
	"allow":  func(b *bench) { b.showAllow() },
	"tell":   func(b *bench) { b.tell("", b.say("allow.refused")) },
	"report": func(b *bench) { b.Open("diagnostics"); b.click("Report…") },
	"welcome": func(b *bench) {
		b.news, b.prefs.Welcomed = false, false
		b.welcome()
	},
}

// focusable are all of a dialog that can have the keys.
func (b *bench) focusable() (all []fyne.Focusable) {
	for _, top := range b.win.Canvas().Overlays().List() {
		walk(top, func(o fyne.CanvasObject) {
			if f, ok := o.(fyne.Focusable); ok {
				all = append(all, f)
			}
		})
	}
	return all
}

// TestEscCloses: Esc closes each dialog, whatever of ours has the keys; one has
// them from the start. What Fyne's own widgets are made of keeps Esc to itself:
// text that can be selected, the arrow of a field with a menu.
func TestEscCloses(t *testing.T) {
	for name, open := range modals {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.take(sample())
			open(b)
			first := b.win.Canvas().Focused()
			if first == nil && name != "link" {
				t.Error("nothing has the keys at first")
			}
			for i := range b.focusable() {
				c := b.win.Canvas()
				f := b.focusable()[i]
				if kind := fmt.Sprintf("%T", f); kind == "*widget.Button" || kind == "*widget.focusSelectable" {
					continue
				}
				c.Focus(f)
				esc := &fyne.KeyEvent{Name: fyne.KeyEscape}
				if c.Focused() != nil {
					c.Focused().TypedKey(esc)
				} else {
					c.OnTypedKey()(esc)
				}
				if n := len(c.Overlays().List()); n != 0 || len(b.modals) != 0 {
					t.Fatalf("with %s focused Esc leaves %d overlays, %d dialogs", describe(f), n, len(b.modals))
				}
				open(b)
			}
		})
	}
}

func describe(f fyne.Focusable) string {
	if o, ok := f.(fyne.CanvasObject); ok {
		return name(o)
	}
	return "?"
}

// TestPhraseStays: what is shown once goes by Done alone.
func TestPhraseStays(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.showPhrase("home", strings.Repeat("amber ", 24))
	b.escape()
	b.see("Write these 24 words down")
	b.click("I have written them down")
	b.click("Done")
	b.unseen("Write these 24 words down")
}

// TestWelcomeByEsc: words of welcome that were closed by Esc were said, too.
func TestWelcomeByEsc(t *testing.T) {
	b := newBench(t)
	b.prefs.Welcomed = false
	b.take(sample())
	b.see("Look for Kith in your tray")
	b.escape()
	if !b.prefs.Welcomed {
		t.Error("they come again")
	}
}

// TestEnterPresses: Enter presses the button that has the keys, as Space does.
func TestEnterPresses(t *testing.T) {
	b := newBench(t)
	b.take(sample())
	b.tell("", "words")
	b.win.Canvas().Focused().TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	b.unseen("words")
}

// TestFits: no page and no dialog wants a wider window than a small screen at
// 200 % has, and no dialog a higher one, with names as long as they may be.
func TestFits(t *testing.T) {
	const width, height = 800, 400
	long := strings.Repeat("m", 63)
	for _, lang := range []string{"en", "de"} {
		words := text.For(lang)
		st := sample()
		n := &st.Networks[0]
		n.Name, n.Alias, n.Self.Name, n.Self.FQDN = long, long, long, long+"."+long+".internal"
		for i := range n.Peers {
			p := &n.Peers[i]
			p.Name, p.Tags = long[1:]+string(rune('a'+i)), []string{long, long}
			p.FQDN = p.Name + "." + long + ".internal"
		}
		n.Exit.Using = &n.Peers[2].Name
		n.Routes[0].Device = long
		for i := range n.Shares {
			n.Shares[i].Name, n.Shares[i].Label, n.Shares[i].Network = long, long, long
		}
		st.Joining = []ipc.Joining{{Network: long, ID: "j", Sponsor: long}}
		st.Nearby.Networks = []ipc.NearbyNetwork{{ID: "n", Name: long, By: long, Until: t0}}
		open := func() *bench {
			b := newBenchIn(t, words)
			b.words = words
			b.take(st)
			b.devices().list.Select(1)
			b.win.Resize(fyne.NewSize(width, height))
			return b
		}
		b := open()
		for _, p := range pageNames {
			b.Open(p)
			if w := b.win.Content().MinSize().Width; w > width {
				t.Errorf("%s, %s wants a window of %.0f", lang, p, w)
			}
		}
		for _, p := range sectionNames {
			b.openSettings(p)
			if w := b.win.Content().MinSize().Width; w > width {
				t.Errorf("%s, settings %s wants a window of %.0f", lang, p, w)
			}
		}
		for name, show := range modals {
			b := open()
			show(b)
			for _, m := range b.modals {
				if s := m.MinSize(); s.Width > width || s.Height > height {
					t.Errorf("%s: the dialog %s wants %.0f × %.0f", lang, name, s.Width, s.Height)
				}
			}
		}
	}
}

// TestFlowHoldsWhatItSays: two buttons in a row overlap in no width that the
// layout takes for enough.
func TestFlowHoldsWhatItSays(t *testing.T) {
	newBench(t)
	objects := []fyne.CanvasObject{newButton("Umbenennen…", nil), newButton("Rolle und Tags…", nil), newButton("Entfernen…", nil)}
	flow{}.Layout(objects, flow{}.MinSize(objects))
	for _, o := range objects {
		if o.Size().Width < o.MinSize().Width {
			t.Errorf("%q has %.0f of %.0f", o.(*Button).Text, o.Size().Width, o.MinSize().Width)
		}
	}
}
