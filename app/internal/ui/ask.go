package ui

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// askRename gives a device another name.
func (s *Shell) askRename(dev model.Device) {
	entry := newKeyEntry(s.say("rename.new"), nil, s.pass)
	entry.SetText(dev.Peer.Name)
	dlg := s.modal(s.say("rename.title", "device", brief(dev.Peer.Name)), entry)
	var ok *Button
	do := func() {
		if ok.Disabled() {
			return
		}
		ok.Disable()
		var got ipc.DeviceAnswer
		s.slow(func(ctx context.Context) (err error) {
			got, err = s.env.Helper.DeviceRename(ctx, ipc.DeviceRequest{Network: dev.Net, Device: dev.Peer.Key, Name: strings.TrimSpace(entry.Text)})
			return err
		}, func(err error) {
			ok.Enable()
			if err != nil {
				s.failed(err)
				return
			}
			dlg.Hide()
			if got.Pending {
				s.tell("", s.say("rename.pending"))
			}
		})
	}
	ok = newButton(s.say("button.ok"), do)
	ok.Importance = widget.HighImportance
	entry.OnSubmitted = func(string) { do() }
	dlg.SetButtons([]fyne.CanvasObject{newButton(s.say("button.cancel"), dlg.Hide), ok})
	dlg.Resize(fyne.NewSize(380, 0))
	dlg.show(entry)
}

// confirm asks before what destroys; Cancel is the default.
func (s *Shell) confirm(title, words, yes string, do func()) {
	dlg := s.modal(title, para(words))
	act := newButton(strings.TrimSuffix(yes, "…"), func() { dlg.Hide(); do() })
	act.Importance = widget.DangerImportance
	no := newButton(s.say("button.cancel"), dlg.Hide)
	dlg.SetButtons([]fyne.CanvasObject{no, act})
	dlg.Resize(fyne.NewSize(440, 0))
	dlg.show(no)
}

// showReach says who reaches a device and whom it reaches, by the policy in
// force.
func (s *Shell) showReach(dev model.Device) {
	var got ipc.ReachAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.PolicyReach(ctx, ipc.ReachRequest{Network: dev.Net, Device: dev.Peer.Key})
		return err
	}, func(err error) {
		if err != nil {
			s.failed(err)
			return
		}
		box := container.NewVBox(head(s.say("reach.from", "device", brief(dev.Peer.Name))))
		box.Add(s.changeRows(got.From, func(c ipc.PolicyChange) string { return c.From }))
		box.Add(head(s.say("reach.to", "device", brief(dev.Peer.Name))))
		box.Add(s.changeRows(got.To, func(c ipc.PolicyChange) string { return c.To }))
		dlg := s.modal(s.say("button.reach"), box)
		done := newButton(s.say("button.close"), dlg.Hide)
		dlg.SetButtons([]fyne.CanvasObject{done})
		dlg.Resize(fyne.NewSize(480, 400))
		dlg.show(done)
	})
}

// maxChanges bounds the rows of one list of who reaches what.
const maxChanges = 200

// changeRows lists what devices may send one another.
func (s *Shell) changeRows(list []ipc.PolicyChange, name func(ipc.PolicyChange) string) fyne.CanvasObject {
	if len(list) == 0 {
		return faint(s.say("reach.none"))
	}
	box := container.NewVBox()
	for i, c := range list {
		if i == maxChanges {
			box.Add(faint(s.say("reach.more", "n", text.Number(len(list)-i))))
			break
		}
		box.Add(container.New(columns{0.45, 0.55}, bold(name(c)), para(model.PortWords(s.env.Text, c.Ports))))
	}
	return box
}
