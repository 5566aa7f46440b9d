package ui

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"
	"rsc.io/qr"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

func clean(s string) string { return text.Clean(s) }

func textOf(k text.Key, sponsor string) text.Msg { return text.M(k, "sponsor", sponsor) }

// showCreate asks for a name and founds a network.
func (s *Shell) showCreate() {
	name := newKeyEntry(s.say("create.name.ph"), nil, s.pass)
	device := newKeyEntry(s.say("join.device.ph"), nil, s.pass)
	problem := para("")
	problem.Importance = widget.DangerImportance
	problem.Hide()
	form := container.New(layout.NewFormLayout(), widget.NewLabel(s.say("create.name")), name, widget.NewLabel(s.say("join.device")), device)
	dlg := s.modal(s.say("create.title"), container.NewVBox(form, problem))
	var ok *Button
	do := func() {
		if ok.Disabled() {
			return
		}
		ok.Disable()
		problem.Hide()
		var got ipc.CreateAnswer
		req := ipc.CreateRequest{Name: strings.TrimSpace(name.Text), Device: strings.TrimSpace(device.Text), ShowPhrase: true}
		s.slow(func(ctx context.Context) (err error) {
			got, err = s.env.Helper.Create(ctx, req)
			return err
		}, func(err error) {
			ok.Enable()
			if err != nil {
				problem.SetText(s.words(err))
				problem.Show()
				return
			}
			dlg.Hide()
			s.showPhrase(req.Name, got.Phrase)
		})
	}
	ok = newButton(s.say("button.create"), do)
	ok.Importance = widget.HighImportance
	name.OnSubmitted = func(string) { do() }
	device.OnSubmitted = func(string) { do() }
	dlg.SetButtons([]fyne.CanvasObject{newButton(s.say("button.cancel"), dlg.Hide), ok})
	dlg.Resize(fyne.NewSize(440, 0))
	dlg.show(name)
}

// showHeldPhrase shows the phrase that the helper still holds.
func (s *Shell) showHeldPhrase(net string) {
	var got ipc.RecoverAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.Recover(ctx, ipc.RecoverRequest{Network: net, Show: true})
		return err
	}, func(err error) {
		if err != nil {
			s.failed(err)
			return
		}
		s.showPhrase(net, got.Phrase)
	})
}

// showPhrase shows the root phrase once; it goes only after the person says
// that it is written down.
func (s *Shell) showPhrase(network, phrase string) {
	if phrase == "" {
		return
	}
	grid := container.NewGridWithColumns(4)
	for i, w := range strings.Fields(phrase) {
		l := widget.NewLabelWithStyle(fmt.Sprintf("%2d  %s", i+1, clean(w)), fyne.TextAlignLeading, fyne.TextStyle{Monospace: true})
		grid.Add(l)
	}
	done := newButton(s.say("button.done"), nil)
	done.Importance = widget.HighImportance
	done.Disable()
	written := newCheck(s.say("phrase.written"), func(yes bool) {
		if yes {
			done.Enable()
		} else {
			done.Disable()
		}
	})
	content := container.NewVBox(para(s.say("phrase.text", "network", network)), grid, written)
	dlg := s.modal(s.say("phrase.title"), content)
	done.OnTapped = func() {
		s.secret = false
		s.win.SetCloseIntercept(nil)
		dlg.Hide()
		s.welcome()
	}
	s.secret = true
	s.win.SetCloseIntercept(func() { s.unlessSecret(func() {}) })
	dlg.SetButtons([]fyne.CanvasObject{done})
	dlg.stay = true // they are shown once
	dlg.Resize(fyne.NewSize(620, 0))
	dlg.show(written)
}

// unlessSecret does what ends the window, unless words are on show in it that are
// shown once.
func (s *Shell) unlessSecret(do func()) {
	if s.secret {
		s.tell("", s.say("phrase.stay"))
		return
	}
	do()
}

// inviteUses and inviteSpans are the choices of the invite dialog; 0 uses is
// any number.
var (
	inviteUses  = []int{1, 5, 0}
	inviteSpans = []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}
)

// showInvite makes an invite link and shows it with its QR code.
func (s *Shell) showInvite(net model.Net) {
	var usesText, spanText []string
	for _, n := range inviteUses {
		k := text.Key("invite.uses.n")
		if n == 0 {
			k = "invite.uses.any"
		}
		usesText = append(usesText, s.say(k, "n", text.Number(n)))
	}
	for _, d := range inviteSpans {
		spanText = append(spanText, s.env.Text.In(d))
	}
	uses, span := newChoice(usesText, nil), newChoice(spanText, nil)
	uses.SetSelectedIndex(0)
	span.SetSelectedIndex(1)
	problem := para("")
	problem.Importance = widget.DangerImportance
	problem.Hide()
	choice := container.New(layout.NewFormLayout(), widget.NewLabel(s.say("invite.uses")), uses, widget.NewLabel(s.say("invite.expires")), span)
	body := container.NewVBox(choice, problem)
	dlg := s.modal(s.say("invite.title", "network", brief(net.Name)), body)
	closeIt := newButton(s.say("button.close"), dlg.Hide)
	var ok *Button
	ok = newButton(s.say("button.mklink"), func() {
		ok.Disable()
		problem.Hide()
		req := ipc.InviteRequest{
			Network: net.ID, Uses: inviteUses[uses.SelectedIndex()], Tags: []string{},
			Expires: ipc.Seconds(inviteSpans[span.SelectedIndex()] / time.Second),
		}
		var got ipc.InviteAnswer
		s.slow(func(ctx context.Context) (err error) {
			got, err = s.env.Helper.Invite(ctx, req)
			return err
		}, func(err error) {
			ok.Enable()
			if err != nil {
				problem.SetText(s.words(err))
				problem.Show()
				return
			}
			body.Objects = []fyne.CanvasObject{s.linkCard(got.Link, s.say("invite.until", "when", s.env.Text.When(got.Expires, s.env.Now())), s.say("invite.secret"))}
			body.Refresh()
			copyIt := newIconButton(s.say("button.copy"), theme.ContentCopyIcon(), func() { s.copy(got.Link) })
			copyIt.Importance = widget.HighImportance
			dlg.SetButtons([]fyne.CanvasObject{closeIt, copyIt})
			s.win.Canvas().Focus(copyIt)
		})
	})
	ok.Importance = widget.HighImportance
	dlg.SetButtons([]fyne.CanvasObject{closeIt, ok})
	dlg.Resize(fyne.NewSize(480, 0))
	dlg.show(ok)
}

// linkCard is a link, its QR code and what to know about it.
func (s *Shell) linkCard(address, until, secret string) fyne.CanvasObject {
	link := selectable(address, fyne.TextWrapBreak)
	link.TextStyle.Monospace = true
	link.SizeName = theme.SizeNameCaptionText
	box := container.NewVBox()
	if img := qrImage(address); img != nil {
		box.Add(container.NewCenter(img))
	}
	if until != "" {
		box.Add(widget.NewLabelWithStyle(until, fyne.TextAlignCenter, fyne.TextStyle{}))
	}
	hint := para(secret)
	hint.Alignment = fyne.TextAlignCenter
	box.Add(container.New(fixedWidth(440), link))
	box.Add(hint)
	return box
}

// qrImage is a text as a QR code, nil where it is too long for one.
func qrImage(s string) fyne.CanvasObject {
	code, err := qr.Encode(s, qr.M)
	if err != nil {
		return nil
	}
	code.Scale = 4
	img := canvas.NewImageFromResource(fyne.NewStaticResource("qr.png", code.PNG()))
	img.FillMode, img.ScaleMode = canvas.ImageFillContain, canvas.ImageScalePixels
	img.SetMinSize(fyne.NewSquareSize(260))
	return img
}
