package ui

import (
	"context"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// rulesSection edits the policy of a network. What was not checked cannot be
// put into force.
type rulesSection struct {
	s       *Shell
	p       *settings
	box     fyne.CanvasObject
	by      *widget.Label
	edit    *widget.Entry
	result  *fyne.Container
	check   *Button
	set1    *Button
	checked string // the text that the last dry run was about
	clean   bool   // it had no faults
	of      string // network ID whose policy is in the editor
	loaded  string // as it is in force
	setBy   string // the device that set it
	known   bool   // the service has told its state
}

func newRulesSection(s *Shell, p *settings) *rulesSection {
	r := &rulesSection{s: s, p: p, by: faint(""), result: container.NewVBox()}
	r.edit = widget.NewMultiLineEntry()
	r.edit.TextStyle.Monospace = true
	r.edit.SetPlaceHolder(s.say("rules.ph"))
	r.edit.OnChanged = func(string) { r.changed() }
	r.check = newButton(s.say("rules.check"), func() { r.send(true) })
	r.set1 = newButton(s.say("rules.set"), func() { r.send(false) })
	r.set1.Importance = widget.HighImportance
	bottom := container.NewVScroll(r.result)
	bottom.SetMinSize(fyne.NewSize(200, 150))
	r.box = container.NewBorder(r.by, container.NewVBox(container.NewHBox(r.check, r.set1), bottom), nil, nil, r.edit)
	r.changed()
	return r
}

func (r *rulesSection) object() fyne.CanvasObject { return r.box }

func (r *rulesSection) shown() { r.load() }

func (r *rulesSection) set(v model.View) {
	n, ok := r.p.chosen()
	if r.of != n.ID && v.Known || r.known != v.Known {
		r.known = v.Known
		r.load()
	}
	enable(r.edit, ok && v.May && isAdmin(n.Role))
	r.changed()
}

// changed looks which buttons fit the text.
func (r *rulesSection) changed() {
	n, ok := r.p.chosen()
	may := ok && r.s.view.May
	enable(r.check, may)
	enable(r.set1, may && isAdmin(n.Role) && r.clean && r.checked == r.edit.Text && r.edit.Text != r.loaded)
}

func (r *rulesSection) load() {
	n, ok := r.p.chosen()
	if !ok {
		say(r.by, r.p.none())
		return
	}
	if r.of == n.ID && r.edit.Text != r.loaded {
		r.sayBy()
		return // edits of the person's stay
	}
	if r.of != n.ID { // what was said of another network says nothing of this one
		r.of, r.loaded, r.setBy, r.checked, r.clean = n.ID, "", "", "", false
		r.edit.SetText("")
		r.result.RemoveAll()
	}
	var got ipc.PolicyAnswer
	r.s.slow(func(ctx context.Context) (err error) {
		got, err = r.s.env.Helper.PolicyShow(ctx, n.ID)
		return err
	}, func(err error) {
		switch {
		case r.of != n.ID:
		case err != nil:
			say(r.by, r.s.words(err))
		default:
			r.take(got)
		}
	})
}

func (r *rulesSection) take(got ipc.PolicyAnswer) {
	if r.edit.Text == r.loaded { // else the person has begun to write
		r.edit.SetText(got.Text)
	}
	r.loaded, r.setBy = got.Text, got.SetBy
	r.sayBy()
	r.changed()
}

// sayBy says whose rules are in force.
func (r *rulesSection) sayBy() {
	if r.loaded == "" {
		say(r.by, r.s.say("rules.default"))
		return
	}
	say(r.by, r.s.say("rules.by", "device", r.setBy))
}

// send checks the text, or puts it into force.
func (r *rulesSection) send(dry bool) {
	s := r.s
	n, ok := r.p.chosen()
	if !ok {
		return
	}
	req := ipc.PolicyRequest{Network: n.ID, Text: r.edit.Text, DryRun: dry}
	r.check.Disable()
	r.set1.Disable()
	var got ipc.PolicyAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.PolicySet(ctx, req)
		return err
	}, func(err error) {
		if r.of != n.ID {
			s.failed(err)
			return
		}
		r.result.RemoveAll()
		switch {
		case err != nil:
			bad := danger()
			say(bad, s.words(err))
			r.result.Add(bad)
			r.clean = false
		case got.Set:
			r.result.Add(para(s.say("rules.done")))
			r.loaded, r.setBy = req.Text, n.SelfName
			r.sayBy()
		default:
			r.checked, r.clean = req.Text, len(got.Faults) == 0
			r.show(got)
		}
		r.changed()
	})
}

// show draws what a policy would do.
func (r *rulesSection) show(got ipc.PolicyAnswer) {
	s := r.s
	for _, f := range got.Faults {
		where := clean(f.Text)
		if f.Line > 0 {
			where = s.say("rules.fault", "line", text.Number(f.Line), "column", text.Number(f.Column), "why", f.Text)
		}
		r.result.Add(container.NewBorder(nil, nil, widget.NewIcon(theme.ErrorIcon()), nil, para(where)))
	}
	if len(got.Faults) > 0 {
		return
	}
	if len(got.Gains)+len(got.Loses) == 0 {
		r.result.Add(para(s.say("rules.same")))
		return
	}
	for _, part := range []struct {
		key  text.Key
		list []ipc.PolicyChange
	}{{"rules.gains", got.Gains}, {"rules.loses", got.Loses}} {
		if len(part.list) > 0 {
			r.result.Add(bold(s.say(part.key)))
			r.result.Add(s.changeRows(part.list, func(c ipc.PolicyChange) string { return s.say("rules.who", "from", c.From, "to", c.To) }))
		}
	}
}
