package ui

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// maxLink bounds what is handed to the helper; a link has 600 characters.
const maxLink = 4096

// joinDialog goes from a link to a preview to a member.
type joinDialog struct {
	s       *Shell
	dlg     *dialog.CustomDialog
	link    *keyEntry
	device  *keyEntry
	body    *fyne.Container
	problem *widget.Label
	stage   *widget.Label
	hint    *widget.Label
	bar     *widget.ProgressBar
	join    *widget.Button
	cancel  *widget.Button
	preview *ipc.Preview
	asked   string // the link last previewed
	busy    bool   // Join was clicked
}

// ShowLink opens the join dialog, with the preview of a link where there is
// one. Nothing is sent to anyone before Join is clicked.
func (s *Shell) ShowLink(link string) {
	if s.join != nil {
		if link != "" && !s.join.busy {
			s.join.link.SetText(link)
		}
		return
	}
	j := &joinDialog{s: s, body: container.NewVBox(), problem: para(""), stage: para("")}
	j.link = newKeyEntry(s.say("join.paste"), nil, s.pass)
	j.link.OnChanged = func(string) { j.look() }
	j.device = newKeyEntry(s.say("join.device.ph"), nil, s.pass)
	j.problem.Importance = widget.DangerImportance
	j.problem.Hide()
	j.bar = widget.NewProgressBar()
	j.bar.Max = 3
	j.bar.TextFormatter = func() string { return "" }
	j.bar.Hide()
	j.stage.Hide()
	j.hint = para(s.say("join.nothing"))
	j.hint.Importance = widget.LowImportance
	content := container.NewVBox(j.link, j.body, j.problem, j.bar, j.stage, j.hint)
	j.dlg = dialog.NewCustomWithoutButtons(s.say("join.title"), content, s.win)
	j.cancel = widget.NewButton(s.say("button.cancel"), j.close)
	j.join = widget.NewButton(s.say("button.join"), j.do)
	j.join.Importance = widget.HighImportance
	j.join.Disable()
	j.dlg.SetButtons([]fyne.CanvasObject{j.cancel, j.join})
	j.dlg.SetOnClosed(func() { s.join = nil })
	s.join = j
	j.dlg.Resize(fyne.NewSize(520, 0))
	j.dlg.Show()
	s.win.Canvas().Focus(j.link)
	if link != "" {
		j.link.SetText(link)
	}
}

func (j *joinDialog) close() { j.dlg.Hide() }

func (j *joinDialog) fail(words string) {
	j.problem.SetText(words)
	show(j.problem, words != "")
}

// look previews what is in the field.
func (j *joinDialog) look() {
	s := j.s
	link := strings.TrimSpace(j.link.Text)
	if link == j.asked || j.busy {
		return
	}
	j.asked, j.preview = link, nil
	j.join.Disable()
	j.body.RemoveAll()
	j.fail("")
	switch {
	case link == "":
		return
	case len(link) > maxLink:
		j.fail(s.say("error.link-malformed"))
		return
	}
	var p ipc.Preview
	s.slow(func(ctx context.Context) (err error) {
		p, err = s.env.Helper.Preview(ctx, link)
		return err
	}, func(err error) {
		if s.join != j || j.asked != link {
			return
		}
		if err != nil {
			j.fail(s.words(err))
			return
		}
		j.show(p)
	})
}

// show draws a preview.
func (j *joinDialog) show(p ipc.Preview) {
	s := j.s
	if p.Kind != "join" {
		j.fail(s.say("join.share"))
		return
	}
	until := s.say("join.until", "when", s.env.Text.When(p.Expires, s.env.Now()))
	if p.Expired {
		until = s.say("join.expired", "sponsor", p.Sponsor)
	}
	reach := strings.Join(p.Reach, ", ")
	if strings.Trim(reach, ", ") == "" {
		reach = s.say("join.reach.all", "network", p.Network)
	}
	words := widget.NewLabelWithStyle(strings.Join(p.Fingerprint, "  "), fyne.TextAlignLeading, fyne.TextStyle{Bold: true})
	compare := para(s.say("join.compare", "sponsor", p.Sponsor))
	compare.Importance = widget.LowImportance
	network := widget.NewLabelWithStyle(clean(p.Network), fyne.TextAlignLeading, fyne.TextStyle{Bold: true})
	grid := container.New(layout.NewFormLayout(),
		widget.NewLabel(s.say("join.network")), network,
		widget.NewLabel(s.say("join.sponsor")), para(clean(p.Sponsor)),
		widget.NewLabel(s.say("join.words")), container.NewVBox(words, compare),
		widget.NewLabel(s.say("join.expires")), para(until),
		widget.NewLabel(s.say("join.reach")), para(reach),
		widget.NewLabel(s.say("join.device")), j.device)
	j.body.Objects = []fyne.CanvasObject{widget.NewSeparator(), grid}
	j.body.Refresh()
	switch {
	case p.Known:
		j.fail(s.say("join.known", "network", p.Network))
	case p.Expired:
		j.fail("")
	case !s.view.May:
		j.fail(s.say("error.permission"))
	default:
		j.preview = &p
		j.join.Enable()
		s.win.Canvas().Focus(j.join)
	}
	j.dlg.Resize(j.dlg.MinSize().Max(fyne.NewSize(520, 0)))
}

// do joins.
func (j *joinDialog) do() {
	s, p := j.s, j.preview
	if p == nil || j.busy {
		return
	}
	j.busy = true
	j.fail("")
	j.join.Disable()
	j.link.Disable()
	j.device.Disable()
	j.cancel.SetText(s.say("button.close"))
	j.hint.Hide()
	j.progress(model.Join{Step: 1, Text: textOf("join.searching", p.Sponsor)})
	link, device := j.asked, strings.TrimSpace(j.device.Text)
	var got ipc.NetworkAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.Join(ctx, ipc.JoinRequest{Link: link, Device: device})
		return err
	}, func(err error) {
		j.busy = false
		open := s.join == j
		switch {
		case err == nil:
			if open {
				j.close()
			}
			s.tell(s.say("join.title"), s.say("join.done", "network", got.Network.Name, "fqdn", got.Network.Self.FQDN))
		case !open:
		case ipc.CodeOf(err) == ipc.CodeTimeout:
			j.stage.SetText(s.say("join.later", "sponsor", p.Sponsor))
		default:
			j.bar.Hide()
			j.stage.Hide()
			j.hint.Show()
			j.link.Enable()
			j.device.Enable()
			j.cancel.SetText(s.say("button.cancel"))
			j.join.Enable()
			j.fail(s.words(err))
		}
	})
}

// set follows the join's stages.
func (j *joinDialog) set(v model.View) {
	if j.preview == nil || !j.busy {
		return
	}
	for _, row := range v.Joining {
		if row.ID == j.preview.ID {
			j.progress(row)
		}
	}
}

func (j *joinDialog) progress(row model.Join) {
	j.bar.Show()
	j.stage.Show()
	j.bar.SetValue(float64(row.Step) - 0.5)
	j.stage.SetText(j.s.env.Text.Say(row.Text))
}
