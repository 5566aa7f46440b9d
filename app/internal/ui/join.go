package ui

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// maxLink bounds what is handed to the helper; a link has 600 characters.
const maxLink = 4096

// joinDialog goes from a link to a preview to a member.
type joinDialog struct {
	s       *Shell
	dlg     *modal
	link    *keyEntry
	device  *keyEntry
	body    *fyne.Container
	problem *widget.Label
	stage   *widget.Label
	hint    *widget.Label
	bar     *widget.ProgressBar
	join    *Button
	cancel  *Button
	into    *choice // of a share: the network of one's own that takes it
	mine    []ownNet
	preview *ipc.Preview // on show
	asked   string       // the link last previewed
	busy    bool         // Join was clicked
	later   bool         // the wait ran out, and the service goes on
	said    string       // why the last try failed
}

// ShowLink opens the join dialog, with the preview of a link where there is
// one; while another is being joined, after that. Nothing is sent to anyone
// before Join is clicked.
func (s *Shell) ShowLink(link string) {
	if j := s.join; j != nil {
		switch {
		case link == "":
			return
		case j.busy:
			s.next = link
			return
		}
		j.close() // what another link is about has a title of its own
	}
	j := &joinDialog{s: s, body: container.NewVBox(), problem: danger(), stage: para("")}
	j.link = newKeyEntry(s.say("join.paste"), nil, s.pass)
	j.link.OnChanged = func(string) { j.look() }
	j.link.Wrapping, j.link.Scroll = fyne.TextWrapOff, fyne.ScrollHorizontalOnly
	j.device = newKeyEntry(s.say("join.device.ph"), nil, s.pass)
	j.bar = widget.NewProgressBar()
	j.bar.Max = 3
	j.bar.TextFormatter = func() string { return "" }
	j.bar.Hide()
	j.stage.Hide()
	j.hint = para(s.say("join.nothing"))
	j.hint.Importance = widget.LowImportance
	scan := newIconButton(s.say("join.qr"), theme.FileImageIcon(), j.pickImage)
	content := container.NewVBox(container.NewBorder(nil, nil, nil, scan, j.link), j.body, j.problem, j.bar, j.stage, j.hint)
	title := s.say("join.title")
	if strings.HasPrefix(strings.TrimSpace(link), "kith://share/") {
		title = s.say("share.accept.title")
	}
	j.dlg = s.modal(title, content)
	j.cancel = newButton(s.say("button.cancel"), j.close)
	j.join = newButton(s.say("button.join"), j.do)
	j.join.Importance = widget.HighImportance
	j.join.Disable()
	j.dlg.SetButtons([]fyne.CanvasObject{j.cancel, j.join})
	j.dlg.SetOnClosed(func() {
		if s.join == j {
			s.join = nil
		}
		if next := s.next; next != "" {
			s.next = ""
			s.ShowLink(next)
		}
	})
	s.join = j
	j.dlg.Resize(fyne.NewSize(520, 0))
	j.dlg.show(j.link)
	if link != "" {
		j.link.SetText(link)
	}
}

func (j *joinDialog) close() { j.dlg.Hide() }

func (j *joinDialog) fail(words string) {
	say(j.problem, words)
}

// linkIn is the link in a text that was pasted: people paste whole messages.
func linkIn(s string) string {
	if i := strings.Index(s, "kith://"); i >= 0 && len(s) <= 16*maxLink {
		s = s[i:]
	}
	if i := strings.IndexFunc(strings.TrimSpace(s), unicode.IsSpace); i >= 0 && strings.HasPrefix(s, "kith://") {
		s = strings.TrimSpace(s)[:i]
	}
	return strings.TrimSpace(s)
}

// look previews what is in the field.
func (j *joinDialog) look() {
	s := j.s
	link := linkIn(j.link.Text)
	if link != j.link.Text && len(link) <= maxLink {
		j.link.SetText(link) // comes back here
		return
	}
	if link == j.asked || j.busy {
		return
	}
	j.asked, j.preview, j.said = link, nil, ""
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
	j.fetch()
}

// fetch previews the link; what is on show stays meanwhile.
func (j *joinDialog) fetch() {
	s, link := j.s, j.asked
	var p ipc.Preview
	s.slow(func(ctx context.Context) (err error) {
		p, err = s.env.Helper.Preview(ctx, link)
		return err
	}, func(err error) {
		switch {
		case s.join != j, j.asked != link, j.busy, j.later:
		case err == nil:
			j.show(p)
		case j.preview == nil:
			j.fail(s.words(err))
		}
	})
}

// show draws a preview.
func (j *joinDialog) show(p ipc.Preview) {
	s := j.s
	until := s.say("join.until", "when", s.env.Text.When(p.Expires, s.env.Now()))
	if p.Expired {
		until = s.say("join.expired", "sponsor", p.Sponsor)
	}
	share := p.Kind == "share"
	reach := clean(strings.Join(p.Reach, ", "))
	if strings.Trim(reach, ", ") == "" && !share {
		reach = s.say("join.reach.all", "network", p.Network)
	}
	j.join.SetText(s.say("button.join"))
	j.hint.SetText(s.say("join.nothing"))
	name := s.say("join.device")
	j.device.SetPlaceHolder(s.say("join.device.ph"))
	if share {
		j.join.SetText(s.say("button.accept"))
		j.hint.SetText(s.say("share.nothing"))
		name = s.say("share.label")
		j.device.SetPlaceHolder(s.say("share.label.ph"))
	}
	words := widget.NewLabelWithStyle(strings.Join(p.Fingerprint, "  "), fyne.TextAlignLeading, fyne.TextStyle{Bold: true})
	compare := para(s.say("join.compare", "sponsor", p.Sponsor))
	compare.Importance = widget.LowImportance
	network := para(clean(p.Network))
	network.TextStyle.Bold = true
	by := s.say("join.sponsor")
	if share {
		by, reach = s.say("share.sponsor"), s.shareOpens(p)
	}
	grid := container.New(layout.NewFormLayout(),
		widget.NewLabel(s.say("join.network")), network,
		widget.NewLabel(by), para(clean(p.Sponsor)),
		widget.NewLabel(s.say("join.words")), container.NewVBox(words, compare),
		widget.NewLabel(s.say("join.expires")), para(until),
		widget.NewLabel(s.say("join.reach")), para(reach))
	if share {
		grid.Add(widget.NewLabel(s.say("share.ports")))
		grid.Add(para(s.opened(p)))
		grid.Add(widget.NewLabel(s.say("share.ends")))
		grid.Add(para(s.shareEnds(p)))
	}
	grid.Add(widget.NewLabel(name))
	grid.Add(j.device)
	if share {
		j.chooseOwn(grid)
	}
	j.body.Objects = []fyne.CanvasObject{widget.NewSeparator(), grid}
	j.body.Refresh()
	j.preview = &p
	j.judge()
}

// judge looks whether what is on show can be joined now, and says why not.
func (j *joinDialog) judge() {
	s, p := j.s, j.preview
	can, words := false, j.said
	switch {
	case p.Known && p.Kind != "share":
		words = s.say("join.known", "network", p.Network)
	case p.Expired:
	case !s.view.Known:
		if s.view.Banner != nil { // else it is about to come
			words = model.Say(s.env.Text, *s.view.Banner, s.env.Now())
		}
	case !s.view.May:
		words = s.say("error.permission")
	default:
		can = true
	}
	j.fail(words)
	if can && j.join.Disabled() && s.win.Canvas().Focused() != j.device {
		defer s.win.Canvas().Focus(j.join)
	}
	enable(j.join, can)
	j.dlg.Resize(j.dlg.MinSize().Max(fyne.NewSize(520, 0)))
}

// opened says what a share in a preview lets the friend do.
func (s *Shell) opened(p ipc.Preview) string {
	facts := []string{model.PortWords(s.env.Text, p.Ports)}
	if p.Exit {
		facts = append(facts, s.say("share.exit"))
	}
	if p.Both {
		facts = append(facts, s.say("share.both"))
	}
	return strings.Join(facts, " · ")
}

// do joins.
func (j *joinDialog) do() {
	s, p := j.s, j.preview
	if p == nil || j.busy || j.join.Disabled() {
		return
	}
	j.busy, j.said = true, ""
	j.fail("")
	j.join.Disable()
	j.link.Disable()
	j.device.Disable()
	j.cancel.SetText(s.say("button.close"))
	j.hint.Hide()
	j.progress(model.Join{Step: 1, Text: textOf("join.searching", p.Sponsor)})
	link, device := j.asked, strings.TrimSpace(j.device.Text)
	if p.Kind == "share" {
		j.accept(link, device)
		return
	}
	var got ipc.NetworkAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.Join(ctx, ipc.JoinRequest{Link: link, Device: device})
		return err
	}, func(err error) { j.done(err, func() { s.joinedWords(got.Network.Name, got.Network.Self.FQDN) }) })
}

// done ends a join or an acceptance.
func (j *joinDialog) done(err error, good func()) {
	s, p := j.s, j.preview
	j.busy = false
	open := s.join == j
	switch {
	case err == nil:
		if open {
			j.close()
		}
		good()
	case !open:
	case ipc.CodeOf(err) == ipc.CodeTimeout:
		j.later = true
		later := text.Key("join.later")
		if p.Kind == "share" {
			later = "share.later"
		}
		j.stage.SetText(s.say(later, "sponsor", p.Sponsor))
	default:
		j.bar.Hide()
		j.stage.Hide()
		j.hint.Show()
		j.link.Enable()
		j.device.Enable()
		j.cancel.SetText(s.say("button.cancel"))
		words := s.words(err)
		switch code := ipc.CodeOf(err); {
		case p.Kind != "share":
		case code == ipc.CodeNotAdmin:
			words = s.say("share.notadmin")
		case code == ipc.CodeNotShared:
			words = s.say("share.gone")
		}
		j.said = words
		j.judge()
	}
}

// joinedWords says that this device is in a network now; the words of welcome
// say it the first time.
func (s *Shell) joinedWords(name, fqdn string) {
	if !s.news && !s.env.Prefs().Welcomed {
		s.welcome()
		return
	}
	s.tell(s.say("join.title"), s.say("join.done", "network", name, "fqdn", fqdn))
}

// set follows the join's stages, and before them what can be joined: a link can
// be here earlier than the service or its state.
func (j *joinDialog) set(v, before model.View) {
	switch under := j.busy || j.later; {
	case under:
		j.follow(v)
	case v.Known && (!before.Known || !slices.Equal(netIDs(v), netIDs(before))) && j.asked != "" && len(j.asked) <= maxLink:
		j.fetch()
	}
	switch {
	case j.preview == nil, j.busy, j.later, j.s.join != j:
	case !slices.Equal(ownNets(v), ownNets(before)):
		j.show(*j.preview)
	default:
		j.judge()
	}
}

func netIDs(v model.View) (ids []string) {
	for _, n := range v.Nets {
		ids = append(ids, n.ID)
	}
	return ids
}

// follow shows how far the join has come; where nobody waits for its end any more,
// it is the network that tells.
func (j *joinDialog) follow(v model.View) {
	for _, row := range v.Joining {
		if row.ID == j.preview.ID && (j.busy || row.Step > 1) {
			j.progress(row)
		}
	}
	for _, n := range v.Nets {
		if n.ID == j.preview.ID && j.later && j.preview.Kind != "share" && !n.Removed {
			j.close()
			j.s.joinedWords(n.Name, n.SelfFQDN)
			return
		}
	}
}

func (j *joinDialog) progress(row model.Join) {
	j.bar.Show()
	j.stage.Show()
	j.bar.SetValue(float64(row.Step) - 0.5)
	j.stage.SetText(j.s.env.Text.Say(row.Text))
}
