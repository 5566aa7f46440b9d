package ui

import (
	"context"
	"reflect"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// sharing is the page of what is shared with friends, and what friends share.
type sharing struct {
	s      *Shell
	box    *fyne.Container
	list   *fyne.Container
	share  *Button
	accept *Button
	drawn  []model.Share
	times  []string // what was said of times
	may    bool
	known  bool
	any    bool
	asked  bool // for a new share, before the service has told its state
}

func newSharing(s *Shell) *sharing {
	p := &sharing{s: s, list: container.NewVBox()}
	p.share = newIconButton(s.say("share.new"), theme.ContentAddIcon(), p.offer)
	p.share.Importance = widget.HighImportance
	p.accept = newIconButton(s.say("share.accept"), theme.LoginIcon(), func() { s.ShowLink("") })
	p.box = container.NewBorder(container.NewHBox(p.share, p.accept), nil, nil, nil, scrolled(p.list))
	return p
}

func (p *sharing) object() fyne.CanvasObject { return p.box }

func (p *sharing) shown() {
	if !p.share.Disabled() {
		p.s.win.Canvas().Focus(p.share)
	}
}

// offer opens the dialog of a new share, with a device to be chosen in it.
func (p *sharing) offer() {
	p.asked = !p.s.view.Known
	if p.s.view.May && len(p.s.shareable()) > 0 {
		p.s.showShare(model.Device{})
	}
}

func (p *sharing) set(v model.View) {
	any := len(p.s.shareable()) > 0
	times := p.said(v.Shares)
	if p.any == any && p.may == v.May && p.known == v.Known && reflect.DeepEqual(p.drawn, v.Shares) && slices.Equal(p.times, times) && len(p.list.Objects) > 0 {
		return
	}
	p.any, p.may, p.known, p.drawn, p.times = any, v.May, v.Known, v.Shares, times
	if p.asked && v.Known {
		defer p.offer()
	}
	enable(p.share, v.May && any)
	enable(p.accept, v.May)
	p.list.RemoveAll()
	mine, theirs := 0, 0
	p.list.Add(head(p.s.say("share.mine")))
	for _, sh := range v.Shares {
		if sh.Direction == "out" {
			mine++
			p.list.Add(p.card(sh))
		}
	}
	if mine == 0 {
		p.list.Add(faint(p.empty("share.mine.none")))
	}
	p.list.Add(head(p.s.say("share.theirs")))
	for _, sh := range v.Shares {
		if sh.Direction != "out" {
			theirs++
			p.list.Add(p.card(sh))
		}
	}
	if theirs == 0 {
		p.list.Add(faint(p.empty("share.theirs.none")))
	}
}

// said is what the cards say of times, which go on.
func (p *sharing) said(list []model.Share) (words []string) {
	for _, sh := range list {
		words = append(words, p.facts(sh))
		for _, g := range sh.Guests {
			words = append(words, p.guestWords(g))
		}
		for i, r := range sh.Refused {
			if i < refusalsShown {
				words = append(words, model.RefusalWords(p.s.env.Text, r, p.s.env.Now()))
			}
		}
	}
	return words
}

// facts are a share's second line.
func (p *sharing) facts(sh model.Share) string {
	s, c := p.s, p.s.env.Text
	facts := []string{model.ShareWords(c, sh), model.PortWords(c, sh.Ports)}
	if sh.Exit {
		facts = append(facts, s.say("share.exit"))
	}
	if sh.Both {
		facts = append(facts, s.say("share.bothways"))
	}
	if sh.AcceptBy != nil && sh.State == ipc.SharePending {
		facts = append(facts, s.say("share.acceptby", "when", c.When(*sh.AcceptBy, s.env.Now())))
	} else if sh.Expires != nil {
		facts = append(facts, s.say("join.until", "when", c.When(*sh.Expires, s.env.Now())))
	}
	if sh.LastUsed != nil {
		facts = append(facts, s.say("share.used", "ago", c.Ago(s.env.Now().Sub(*sh.LastUsed))))
	}
	return strings.Join(facts, " · ")
}

// guestWords says whether a friend's device is there.
func (p *sharing) guestWords(g ipc.Guest) string {
	switch s := p.s; {
	case g.Online:
		return s.say("word.online")
	case g.LastSeen != nil:
		return s.say("row.seen", "ago", s.env.Text.Ago(s.env.Now().Sub(*g.LastSeen)))
	}
	return p.s.say("word.offline")
}

func (p *sharing) empty(key string) string {
	switch {
	case !p.s.view.Known:
		return p.s.say("page.unknown")
	case key == "share.mine.none":
		return p.s.say("share.mine.none")
	}
	return p.s.say("share.theirs.none")
}

// card is one share.
func (p *sharing) card(sh model.Share) fyne.CanvasObject {
	var names []string
	for _, d := range sh.Devices {
		names = append(names, d.Name)
	}
	title := strings.Join(names, ", ")
	if title == "" {
		title = sh.Name
	}
	body := container.NewVBox(bold(title), faint(p.facts(sh)))
	if sh.Direction == "out" {
		p.given(body, sh)
	} else {
		p.received(body, sh)
	}
	return widget.NewCard("", "", body)
}

// refusalsShown is how many of those who were not let in a share's card names.
const refusalsShown = 4

// given is what the owner sees: who accepted, the words to compare, the end.
func (p *sharing) given(body *fyne.Container, sh model.Share) {
	s := p.s
	if sh.Label != "" {
		body.Add(para(s.say("share.with", "label", sh.Label)))
	}
	p.whyNot(body, sh)
	for _, g := range sh.Guests {
		off := newButton(s.say("share.guest.remove"), func() { p.takeOff(sh, g) })
		off.Importance = widget.LowImportance
		enable(off, s.view.May)
		cols := columns{0.4, 0.6, off.MinSize().Width} // alike in all rows
		var end fyne.CanvasObject = off
		if sh.Over() || g.IPv6 == nil {
			end = layout.NewSpacer()
		}
		body.Add(container.New(cols, bold(g.Label), cellText(p.guestWords(g)), end))
	}
	for i, r := range sh.Refused {
		if i < refusalsShown {
			body.Add(faint(model.RefusalWords(s.env.Text, r, s.env.Now())))
		}
	}
	row := container.NewHBox()
	if sh.State == ipc.ShareConfirm {
		body.Add(container.NewVBox(
			para(s.say("share.compare", "label", sh.Label)),
			widget.NewLabelWithStyle(clean(strings.Join(sh.Words, "  ")), fyne.TextAlignLeading, fyne.TextStyle{Bold: true}),
			faint(s.say("share.differ"))))
		row.Add(p.approve(sh))
	}
	if !sh.Over() {
		revoke := newButton(s.say("share.revoke"), func() {
			s.confirm(s.say("share.revoke.title"), s.say("share.revoke.text", "device", sh.Name), s.say("share.revoke"), func() {
				s.slow(func(ctx context.Context) error {
					_, err := s.env.Helper.ShareRevoke(ctx, ipc.ShareIDRequest{Network: sh.Net, Share: sh.ID})
					return err
				}, s.failed)
			})
		})
		enable(revoke, s.view.May)
		row.Add(revoke)
	}
	if len(row.Objects) > 0 {
		body.Add(row)
	}
}

// takeOff ends the share for one of the friend's devices, once it is confirmed.
func (p *sharing) takeOff(sh model.Share, g ipc.Guest) {
	s := p.s
	s.confirm(s.say("share.guest.title"), s.say("share.guest.text", "guest", g.Label, "device", sh.Name), s.say("share.guest.remove.do"), func() {
		s.slow(func(ctx context.Context) error {
			_, err := s.env.Helper.ShareRevoke(ctx, ipc.ShareIDRequest{Network: sh.Net, Share: sh.ID, Guest: g.IPv6.String()})
			return err
		}, s.failed)
	})
}

// received is what the friend sees: where the devices are found, and why not.
func (p *sharing) received(body *fyne.Container, sh model.Share) {
	s, c := p.s, p.s.env.Text
	if sh.Label != "" {
		body.Add(para(s.say("share.from", "label", sh.Label, "network", sh.Network)))
	}
	p.whyNot(body, sh)
	for _, d := range sh.Devices {
		dot, state := dotIcon(model.DotOffline), s.say("word.offline")
		if d.Online {
			dot, state = dotIcon(model.DotOnline), model.PathWords(c, d.Path, d.Via)
			if d.LatencyMS != nil {
				state = s.say("row.latency", "path", state, "latency", c.Latency(*d.LatencyMS))
			}
		}
		fqdn := d.FQDN
		cp := newIconButton(s.say("button.copy"), theme.ContentCopyIcon(), func() { s.copy(fqdn) })
		cp.Importance = widget.LowImportance
		body.Add(container.NewBorder(nil, nil, widget.NewIcon(dot), cp, container.New(columns{0.55, 0.45}, bold(fqdn), cellText(state))))
	}
	if len(sh.Words) > 0 {
		body.Add(para(s.say("share.compare.friend")))
		body.Add(widget.NewLabelWithStyle(clean(strings.Join(sh.Words, "  ")), fyne.TextAlignLeading, fyne.TextStyle{Bold: true}))
	}
	giveUp := newButton(s.say("share.remove"), func() {
		s.confirm(s.say("share.remove.title"), s.say("share.remove.text", "device", sh.Name), s.say("share.remove.do"), func() {
			s.slow(func(ctx context.Context) error {
				_, err := s.env.Helper.ShareRemove(ctx, ipc.ShareIDRequest{Network: sh.Net, Share: sh.ID})
				return err
			}, s.failed)
		})
	})
	enable(giveUp, s.view.May)
	body.Add(container.NewHBox(giveUp))
}

// whyNot says why a share does not work now.
func (p *sharing) whyNot(body *fyne.Container, sh model.Share) {
	if sh.Why == nil {
		return
	}
	why := danger()
	say(why, model.ShareWhy(p.s.env.Text, sh))
	body.Add(why)
}

// approve opens a share once the words are the same.
func (p *sharing) approve(sh model.Share) *Button {
	s := p.s
	var b *Button
	b = newButton(s.say("share.same"), func() {
		b.Disable()
		s.slow(func(ctx context.Context) error {
			_, err := s.env.Helper.ShareApprove(ctx, ipc.ShareIDRequest{Network: sh.Net, Share: sh.ID})
			return err
		}, func(err error) { b.Enable(); s.failed(err) })
	})
	b.Importance = widget.HighImportance
	enable(b, s.view.May)
	return b
}
