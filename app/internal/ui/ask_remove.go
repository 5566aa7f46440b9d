package ui

import (
	"context"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// stolenFor is how long ago a key may have been stolen, to choose from.
var stolenFor = []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour}

// askRemove removes a device from its network. What one with authority did since
// its key was stolen can be undone; that is shown before it is done.
func (s *Shell) askRemove(dev model.Device) {
	title := s.say("remove.title", "device", brief(dev.Peer.Name))
	words := s.say("remove.text", "device", dev.Peer.Name, "network", dev.NetName)
	req := ipc.DeviceRequest{Network: dev.Net, Device: dev.Peer.Key}
	if dev.Peer.Role != ipc.RoleAdmin && dev.Peer.Role != ipc.RoleSponsor {
		s.confirm(title, words, s.say("button.remove"), func() { s.remove(req) })
		return
	}
	options := []string{s.say("remove.keep")}
	for _, d := range stolenFor {
		options = append(options, s.say("remove.undo", "span", s.env.Text.Span(d)))
	}
	did := newChoice(options, nil)
	did.SetSelectedIndex(0)
	dlg := s.modal(title, container.NewVBox(para(words), head(s.say("remove.did")), did))
	act := newButton(strings.TrimSuffix(s.say("button.remove"), "…"), func() {
		dlg.Hide()
		if i := did.SelectedIndex() - 1; i >= 0 {
			at := s.env.Now().Add(-stolenFor[i])
			req.Since = &at
			s.showUndo(title, dev, req)
			return
		}
		s.remove(req)
	})
	act.Importance = widget.DangerImportance
	no := newButton(s.say("button.cancel"), dlg.Hide)
	dlg.SetButtons([]fyne.CanvasObject{no, act})
	dlg.Resize(fyne.NewSize(460, 0))
	dlg.show(no)
}

// showUndo asks once more, with what would change.
func (s *Shell) showUndo(title string, dev model.Device, req ipc.DeviceRequest) {
	var got ipc.DeviceAnswer
	s.slow(func(ctx context.Context) (err error) {
		dry := req
		dry.DryRun = true
		got, err = s.env.Helper.DeviceRevoke(ctx, dry)
		return err
	}, func(err error) {
		if err != nil || got.Removal == nil {
			s.failed(err)
			return
		}
		req.Plan = got.Removal.Plan
		s.confirm(title, s.undoWords(dev, *req.Since, got.Removal), s.say("button.remove"), func() { s.remove(req) })
	})
}

// undoWords says what a removal as of a time changes, a line each.
func (s *Shell) undoWords(dev model.Device, since time.Time, r *ipc.Removal) string {
	when := func(t time.Time) string { return s.env.Text.When(t, s.env.Now()) }
	lines := []string{s.say("remove.undo.what", "device", dev.Peer.Name, "when", when(since), "n", text.Number(r.Undone))}
	names := func(k text.Key, list []string) {
		if len(list) > 0 {
			lines = append(lines, s.say(k, "names", strings.Join(list, ", ")))
		}
	}
	number := func(k text.Key, n int) {
		if n > 0 {
			lines = append(lines, s.say(k, "n", text.Number(n)))
		}
	}
	var dropped []string
	for _, d := range r.Dropped {
		dropped = append(dropped, d.Name)
	}
	names("remove.undo.dropped", dropped)
	names("remove.undo.returned", r.Returned)
	names("remove.undo.demoted", r.Demoted)
	number("remove.undo.settings", len(r.Settings))
	number("remove.undo.invites", r.Invites)
	number("remove.undo.early", r.Early)
	if r.Held != nil {
		lines = append(lines, s.say("remove.undo.held", "when", when(*r.Held)))
	}
	return strings.Join(lines, "\n")
}

func (s *Shell) remove(req ipc.DeviceRequest) {
	var got ipc.DeviceAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.DeviceRevoke(ctx, req)
		return err
	}, func(err error) {
		s.failed(err)
		if err == nil && len(got.Dropped) > 0 {
			s.tell("", s.say("remove.dropped", "names", strings.Join(got.Dropped, ", ")))
		}
	})
}
