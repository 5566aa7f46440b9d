package ui

import (
	"context"
	"slices"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

func cellText(words string) *widget.Label {
	l := cell(fyne.TextStyle{})
	l.SetText(clean(words))
	return l
}

// shareable lists the devices that this one may share: all of the networks
// that it is an admin of, itself included.
func (s *Shell) shareable() (list []model.Device) {
	for _, n := range s.view.Nets {
		if n.Removed || !isAdmin(n.Role) {
			continue
		}
		list = append(list, model.Device{Net: n.ID, NetName: n.Name, Self: true, Peer: ipc.Peer{Name: n.SelfName, FQDN: n.SelfFQDN, Key: n.SelfKey}})
		for _, d := range s.view.Devices {
			if d.Net == n.ID && d.Shared == "" {
				list = append(list, d)
			}
		}
	}
	return list
}

// shareSpans are the choices of how long a share lasts; 0 is for ever.
var shareSpans = []time.Duration{24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour, 0}

// target is a device to be shared, by the name that the dialog gave it.
type target struct {
	name string
	dev  model.Device
}

func (s *Shell) targets() (list []target) {
	for _, d := range s.shareable() {
		list = append(list, target{shareName(s, d), d})
	}
	return list
}

// shareForm is the dialog that makes a share.
type shareForm struct {
	s       *Shell
	dlg     *modal
	body    *fyne.Container
	list    []target
	device  *pick
	ports   []*Check
	other   *keyEntry
	span    *choice
	exit    *Check
	both    *Check
	confirm *Check
	problem *widget.Label
	close   *Button
	ok      *Button
}

// showShare offers a device to a friend; the zero Device leaves the choice to
// the dialog.
func (s *Shell) showShare(dev model.Device) {
	f := &shareForm{s: s, list: s.targets(), problem: danger()}
	var names []string
	for i, d := range f.list {
		if i < 200 { // beyond that a name is typed
			names = append(names, d.name)
		}
	}
	f.device = newPick(names)
	f.device.SetPlaceHolder(s.say("share.device.ph"))
	if dev.Peer.Name != "" {
		f.device.SetText(shareName(s, dev))
	}
	checks := container.NewGridWithColumns(2)
	for i, p := range model.PortNames {
		c := newCheck(s.say(p.Key), nil)
		c.SetChecked(i == 1)
		c.OnChanged = func(bool) { f.portsChanged() }
		f.ports = append(f.ports, c)
		checks.Add(c)
	}
	f.other = newKeyEntry(s.say("share.ports.ph"), nil, s.pass)
	var spans []string
	for _, d := range shareSpans {
		if d == 0 {
			spans = append(spans, s.say("share.forever"))
		} else {
			spans = append(spans, s.env.Text.In(d))
		}
	}
	f.span = newChoice(spans, nil)
	f.span.SetSelectedIndex(2)
	f.exit = newCheck(s.say("share.asexit"), nil)
	f.both = newCheck(s.say("share.asboth"), nil)
	f.confirm = newCheck(s.say("share.confirm"), nil)
	f.confirm.SetChecked(true)
	form := container.New(layout.NewFormLayout(),
		widget.NewLabel(s.say("share.device")), f.device,
		widget.NewLabel(s.say("share.ports")), container.NewVBox(checks, f.other),
		widget.NewLabel(s.say("share.ends")), f.span)
	f.body = container.NewVBox(form, f.exit, f.both, f.confirm, f.problem)
	f.dlg = s.modal(s.say("share.title"), f.body)
	f.close = newButton(s.say("button.cancel"), f.dlg.Hide)
	f.ok = newButton(s.say("button.mklink"), f.do)
	f.ok.Importance = widget.HighImportance
	f.dlg.SetButtons([]fyne.CanvasObject{f.close, f.ok})
	f.dlg.Resize(fyne.NewSize(540, 0))
	f.dlg.show(f.device)
}

// canShare tells whether a device is still there to be shared.
func (s *Shell) canShare(d model.Device) bool {
	return slices.ContainsFunc(s.shareable(), func(o model.Device) bool { return o.Net == d.Net && o.Peer.Key == d.Peer.Key })
}

func shareName(s *Shell, d model.Device) string {
	if len(s.view.Nets) > 1 {
		return d.Peer.Name + "." + d.NetName
	}
	return d.Peer.Name
}

// portsChanged keeps "all" and single services apart.
func (f *shareForm) portsChanged() {
	all := f.ports[0].Checked
	for _, c := range f.ports[1:] {
		enable(c, !all)
	}
	if all {
		f.other.Disable()
	} else {
		f.other.Enable()
	}
}

// request is what the form says; words are what is missing.
func (f *shareForm) request() (req ipc.ShareRequest, words string) {
	want := strings.TrimSpace(f.device.Text)
	req = ipc.ShareRequest{Exit: f.exit.Checked, Both: f.both.Checked, Confirm: f.confirm.Checked, Expires: ipc.Seconds(shareSpans[f.span.SelectedIndex()] / time.Second)}
	for _, d := range append(f.s.targets(), f.list...) { // a name means what it meant when the dialog came
		if (want == d.name || want == d.dev.Peer.FQDN) && f.s.canShare(d.dev) {
			req.Network, req.Devices = d.dev.Net, []string{d.dev.Peer.Key}
		}
	}
	if req.Devices == nil {
		return req, f.s.say("share.nodevice")
	}
	if f.ports[0].Checked {
		req.Ports = []string{"all"}
		return req, ""
	}
	for i, c := range f.ports[1:] {
		if c.Checked {
			req.Ports = append(req.Ports, model.PortNames[i+1].Ports...)
		}
	}
	for _, p := range strings.FieldsFunc(f.other.Text, func(r rune) bool { return r == ',' || r == ' ' || r == ';' }) {
		if !strings.Contains(p, "/") {
			p += "/tcp"
		}
		req.Ports = append(req.Ports, p)
	}
	if len(req.Ports) == 0 && !req.Exit {
		return req, f.s.say("share.noports")
	}
	if req.Ports == nil {
		req.Ports = []string{"none"}
	}
	return req, ""
}

func (f *shareForm) do() {
	s := f.s
	req, missing := f.request()
	say(f.problem, missing)
	if missing != "" {
		return
	}
	f.ok.Disable()
	var got ipc.ShareAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.ShareCreate(ctx, req)
		return err
	}, func(err error) {
		f.ok.Enable()
		if err != nil {
			words := s.words(err)
			if ipc.CodeOf(err) == ipc.CodeUsage { // all but the ports is chosen from lists
				words = s.say("share.badports")
			}
			say(f.problem, words)
			return
		}
		until := ""
		if got.Share.AcceptBy != nil {
			until = s.say("share.acceptby", "when", s.env.Text.When(*got.Share.AcceptBy, s.env.Now()))
		}
		f.body.Objects = []fyne.CanvasObject{s.linkCard(got.Link, until, s.say("share.secret"))}
		f.body.Refresh()
		copyIt := newIconButton(s.say("button.copy"), theme.ContentCopyIcon(), func() { s.copy(got.Link) })
		copyIt.Importance = widget.HighImportance
		f.close.SetText(s.say("button.close"))
		f.dlg.SetButtons([]fyne.CanvasObject{f.close, copyIt})
		s.win.Canvas().Focus(copyIt)
	})
}
