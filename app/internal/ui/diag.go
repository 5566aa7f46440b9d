package ui

import (
	"context"
	"errors"
	"reflect"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// diagnostics is the page of problems and checks.
type diagnostics struct {
	s        *Shell
	box      *fyne.Container
	problems *fyne.Container
	checks   *fyne.Container
	again    *Button
	report   *Button
	last     *ipc.Diag
	drawn    []any
	seen     [3]any // what the checks last ran for
	dirty    bool   // check again after the check under way
	running  bool
}

func newDiagnostics(s *Shell) *diagnostics {
	d := &diagnostics{s: s, problems: container.NewVBox(), checks: container.NewVBox()}
	d.again = newIconButton(s.say("button.again"), theme.ViewRefreshIcon(), d.run)
	d.report = newIconButton(s.say("report.button"), theme.DocumentIcon(), d.showReport)
	d.box = container.NewStack(scrolled(container.NewVBox(
		head(s.say("diag.problems")), d.problems,
		container.NewHBox(head(s.say("diag.checks")), layout.NewSpacer(), d.report, d.again), d.checks)))
	return d
}

func (d *diagnostics) object() fyne.CanvasObject { return d.box }

func (d *diagnostics) shown() { d.run() }

func (d *diagnostics) set(v model.View) {
	// Live: what the checks look at has changed.
	if now := [3]any{v.Known, v.Icon, v.Problems}; !reflect.DeepEqual(now, d.seen) {
		d.seen = now
		if d.s.current == "diagnostics" {
			d.run()
		}
	}
	var words []string
	for _, p := range v.Problems {
		words = append(words, model.Say(d.s.env.Text, p, d.s.env.Now()))
	}
	now := []any{v.Known, v.May, v.Problems, words}
	if reflect.DeepEqual(now, d.drawn) {
		return
	}
	d.drawn = now
	d.problems.RemoveAll()
	for i, p := range v.Problems {
		icon := theme.WarningIcon()
		switch p.Severity {
		case ipc.SeverityError:
			icon = theme.ErrorIcon()
		case ipc.SeverityInfo:
			icon = theme.InfoIcon()
		}
		acts := container.NewHBox()
		for _, a := range []model.Action{p.Action, p.Other} {
			if a != model.ActNone && a != model.ActDiagnostics && (v.May || !changes[a]) {
				acts.Add(newButton(model.ActionWord(d.s.env.Text, a), func() { d.s.act(p, a) }))
			}
		}
		d.problems.Add(container.NewBorder(nil, nil, widget.NewIcon(icon), container.NewCenter(acts), para(words[i])))
	}
	switch {
	case len(v.Problems) > 0:
	case v.Known:
		d.problems.Add(para(d.s.say("diag.noproblem")))
	default:
		d.problems.Add(para(d.s.say("page.unknown")))
	}
}

// run asks the helper to check.
func (d *diagnostics) run() {
	if d.running {
		d.dirty = true
		return
	}
	s := d.s
	d.running, d.dirty = true, false
	d.again.Disable()
	if len(d.checks.Objects) == 0 {
		d.checks.Add(widget.NewLabel(s.say("diag.running")))
	}
	var got ipc.Diag
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.Diag(ctx, "")
		return err
	}, func(err error) {
		d.running = false
		d.again.Enable()
		d.checks.RemoveAll()
		if d.dirty {
			defer d.run()
		}
		if err != nil {
			d.last = nil
			d.checks.Add(d.row(ipc.Check{Text: s.say("diag.helper"), Detail: s.say("diag.helper.bad"), Fix: s.words(err)}))
			return
		}
		d.last = &got
		d.checks.Add(d.row(ipc.Check{OK: true, Text: s.say("diag.helper"), Detail: s.say("diag.helper.ok", "version", s.view.Service)}))
		for _, c := range got.Checks {
			if c.Code != ipc.CheckHelper { // said above, in more words
				d.checks.Add(d.row(c))
			}
		}
	})
}

// showReport previews what is saved to a file; names and addresses are left
// out unless the person wants them in.
func (d *diagnostics) showReport() {
	s := d.s
	body := newKeyEntry("", nil, s.pass)
	body.MultiLine = true
	body.TextStyle.Monospace = true
	body.Wrapping = fyne.TextWrapOff
	body.SetMinRowsVisible(14)
	draw := func(anonymous bool) { body.SetText(model.Report(s.view, d.last, s.env.Now(), anonymous)) }
	anon := newCheck(s.say("report.anonymous"), draw)
	anon.SetChecked(true)
	dlg := s.modal(s.say("report.title"), container.NewBorder(para(s.say("report.text")), anon, nil, nil, body))
	save := newButton(s.say("report.save"), func() {
		path, err := s.env.SaveReport(body.Text)
		if err != nil {
			s.tell("", s.say("settings.failed", "why", err.Error()))
			return
		}
		dlg.Hide()
		s.tell(s.say("report.title"), s.say("report.saved", "path", path))
	})
	save.Importance = widget.HighImportance
	dlg.SetButtons([]fyne.CanvasObject{newButton(s.say("button.cancel"), dlg.Hide), save})
	dlg.Resize(fyne.NewSize(680, 520))
	dlg.show(save)
}

func (d *diagnostics) row(c ipc.Check) fyne.CanvasObject {
	icon, word := theme.ConfirmIcon(), d.s.say("diag.ok")
	switch model.VerdictOf(c) {
	case model.Failed:
		icon, word = theme.ErrorIcon(), d.s.say("diag.fail")
	case model.NotApplicable:
		icon, word = theme.InfoIcon(), d.s.say("diag.na")
	}
	title, fix := model.CheckWords(d.s.env.Text, c)
	if c.Network != "" && len(d.s.view.Nets) > 1 {
		title = d.s.say("check.of", "check", title, "network", c.Network)
	}
	name := widget.NewLabelWithStyle(clean(title), fyne.TextAlignLeading, fyne.TextStyle{Bold: true})
	name.Truncation = fyne.TextTruncateEllipsis
	detail := model.CheckDetail(d.s.env.Text, c)
	if fix != "" {
		detail = joinWords(detail, clean(fix))
	}
	return container.New(columns{28, 76, 0.34, 0.66}, widget.NewIcon(icon), widget.NewLabel(word), name, para(detail))
}

func joinWords(a, b string) string {
	if a != "" {
		a += " — "
	}
	return a + b
}

// startWords says why the service did not start.
func (s *Shell) startWords(err error) string { return StartWords(s.env.Text, err) }

// StartWords says why the service did not start.
func StartWords(c *text.Catalogue, err error) string {
	if errors.Is(err, desktop.ErrNoService) {
		return c.S("start.missing", "command", "sudo kithd install && sudo kithd start")
	}
	return c.S("start.failed", "why", err.Error())
}
