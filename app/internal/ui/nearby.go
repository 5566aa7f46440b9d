package ui

import (
	"context"
	"errors"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// digits are six, in two groups, as they are read out.
func digits(d string) string {
	if len(d) == 6 {
		d = d[:3] + " " + d[3:]
	}
	return clean(d)
}

func digitLabel(d string) *widget.Label {
	l := widget.NewLabelWithStyle(digits(d), fyne.TextAlignLeading, fyne.TextStyle{Bold: true, Monospace: true})
	l.SizeName = theme.SizeNameHeadingText
	return l
}

// nearbyCard is a network that an admin on this LAN holds open.
func (s *Shell) nearbyCard(n ipc.NearbyNetwork) fyne.CanvasObject {
	ask := newButton(s.say("nearby.ask"), func() { s.showNearby(n) })
	ask.Importance = widget.HighImportance
	enable(ask, s.view.May)
	until := s.say("nearby.by", "device", n.By, "when", s.env.Text.When(n.Until, s.env.Now()))
	return widget.NewCard("", "", container.NewBorder(nil, nil, nil, container.NewCenter(ask), container.NewVBox(bold(n.Name), faint(until))))
}

// askingRow is a device that asks an admin to be let in.
func (s *Shell) askingRow(a ipc.NearbyAsking) fyne.CanvasObject {
	answer := func(refuse bool) func() {
		return func() {
			s.slow(func(ctx context.Context) error {
				_, err := s.env.Helper.NearbyApprove(ctx, ipc.NearbyApproveRequest{ID: a.ID, Refuse: refuse})
				return err
			}, s.failed)
		}
	}
	yes := newButton(s.say("nearby.same"), answer(false))
	yes.Importance = widget.HighImportance
	no := newButton(s.say("nearby.differ"), answer(true))
	enable(yes, s.view.May)
	enable(no, s.view.May)
	os := a.OS
	if os == "" {
		os = "?"
	}
	return container.NewVBox(
		para(s.say("nearby.asks", "device", a.Name, "os", os)),
		container.NewHBox(digitLabel(a.Digits), layout.NewSpacer(), container.NewCenter(no), container.NewCenter(yes)))
}

// openRow says that a network is open to its LAN, or offers that.
func (s *Shell) openRow(net model.Net) fyne.CanvasObject {
	call := func(closing bool) func() {
		return func() {
			s.slow(func(ctx context.Context) error {
				_, err := s.env.Helper.NearbyOpen(ctx, ipc.NearbyOpenRequest{Network: net.ID, Close: closing})
				return err
			}, s.failed)
		}
	}
	for _, o := range s.view.Nearby.Open {
		if o.Network == net.Name {
			stop := newButton(s.say("nearby.close"), call(true))
			return container.NewBorder(nil, nil, nil, container.NewCenter(stop), para(s.say("nearby.open", "when", s.env.Text.When(o.Until, s.env.Now()))))
		}
	}
	return container.NewHBox(newButton(s.say("nearby.doopen"), call(false)))
}

// nearbyDialog asks to join a network on this LAN.
type nearbyDialog struct {
	s       *Shell
	net     ipc.NearbyNetwork
	dlg     *modal
	device  *keyEntry
	says    *widget.Label
	digits  *widget.Label
	problem *widget.Label
	ask     *Button
	cancel  *Button
	same    *Button
	differ  *Button
	end     context.CancelFunc
	asked   bool
	shown   string // the digits that are there to be compared
	old     string // the digits of an earlier try
}

func (s *Shell) showNearby(net ipc.NearbyNetwork) {
	d := &nearbyDialog{s: s, net: net, problem: danger(), digits: digitLabel("")}
	d.digits.Alignment = fyne.TextAlignCenter
	d.digits.Hide()
	d.says = para(s.say("nearby.explain", "network", net.Name, "device", net.By))
	d.device = newKeyEntry(s.say("join.device.ph"), nil, s.pass)
	form := container.New(layout.NewFormLayout(), widget.NewLabel(s.say("join.device")), d.device)
	d.dlg = s.modal(s.say("nearby.title", "network", brief(net.Name)), container.NewVBox(d.says, d.digits, form, d.problem))
	d.cancel = newButton(s.say("button.cancel"), d.dlg.Hide)
	d.ask = newButton(s.say("nearby.ask"), d.do)
	d.ask.Importance = widget.HighImportance
	d.same = newButton(s.say("nearby.match"), func() { d.answer(false) })
	d.same.Importance = widget.HighImportance
	d.differ = newButton(s.say("nearby.mismatch"), func() { d.answer(true) })
	d.device.OnSubmitted = func(string) { d.do() }
	d.dlg.SetButtons([]fyne.CanvasObject{d.cancel, d.ask})
	d.dlg.SetOnClosed(func() {
		if s.near == d {
			s.near = nil
		}
		if d.end != nil {
			d.end()
		}
	})
	s.near = d
	d.dlg.Resize(fyne.NewSize(480, 0))
	d.dlg.show(d.device)
	d.set(s.view)
}

func (d *nearbyDialog) do() {
	if d.asked || d.ask.Disabled() {
		return
	}
	d.asked = true
	s := d.s
	if n := d.heard(s.view); n != nil && n.Digits != nil {
		d.old = *n.Digits
	}
	d.ask.Disable()
	d.device.Disable()
	say(d.problem, "")
	ctx, end := context.WithCancel(s.ctx)
	d.end = end
	req := ipc.NearbyJoinRequest{ID: d.net.ID, Device: strings.TrimSpace(d.device.Text), Confirm: true}
	var got ipc.NetworkAnswer
	s.slow(func(context.Context) (err error) {
		got, err = s.env.Helper.NearbyJoin(ctx, req)
		return err
	}, func(err error) {
		end()
		open := s.near == d
		switch {
		case err == nil:
			if open {
				d.dlg.Hide()
			}
			s.joinedWords(got.Network.Name, got.Network.Self.FQDN)
		case !open || errors.Is(err, context.Canceled):
		default:
			d.asked, d.shown = false, ""
			d.digits.Hide()
			d.says.SetText(s.say("nearby.explain", "network", d.net.Name, "device", d.net.By))
			d.dlg.SetButtons([]fyne.CanvasObject{d.cancel, d.ask})
			d.device.Enable()
			d.set(s.view)
			say(d.problem, s.words(err))
		}
	})
}

// heard is the network as it is heard now, nil where it is not.
func (d *nearbyDialog) heard(v model.View) *ipc.NearbyNetwork {
	for i, n := range v.Nearby.Networks {
		if n.ID == d.net.ID {
			return &v.Nearby.Networks[i]
		}
	}
	return nil
}

// set shows the digits as soon as they are known, for this side's word on them;
// before that, whether the network can be asked for.
func (d *nearbyDialog) set(v model.View) {
	n := d.heard(v)
	if !d.asked {
		enable(d.ask, n != nil && v.May)
		gone := v.Known && n == nil
		if closed := d.s.say("nearby.gone", "network", d.net.Name); gone || d.problem.Text == closed {
			say(d.problem, map[bool]string{true: closed}[gone])
		}
		return
	}
	switch {
	case n == nil:
	case n.Digits == nil:
		d.old = ""
	case *n.Digits != d.old && *n.Digits != d.shown:
		d.shown = *n.Digits
		d.digits.SetText(digits(d.shown))
		d.digits.Show()
		d.says.SetText(d.s.say("nearby.compare", "device", d.net.By))
		d.same.Enable()
		d.differ.Enable()
		d.dlg.SetButtons([]fyne.CanvasObject{d.cancel, d.differ, d.same})
	}
}

// answer gives this side's word: without it nothing is joined, even where the
// admin says yes.
func (d *nearbyDialog) answer(differ bool) {
	s, about := d.s, d.shown
	d.same.Disable()
	d.differ.Disable()
	s.slow(func(ctx context.Context) error {
		_, err := s.env.Helper.NearbyApprove(ctx, ipc.NearbyApproveRequest{ID: d.net.ID, Refuse: differ})
		return err
	}, func(err error) {
		switch {
		case s.near != d || d.shown != about: // it has ended meanwhile, or begun anew
		case err != nil:
			d.same.Enable()
			d.differ.Enable()
			say(d.problem, s.words(err))
		case !differ:
			d.says.SetText(s.say("nearby.wait", "device", d.net.By))
			d.dlg.SetButtons([]fyne.CanvasObject{d.cancel})
		}
	})
}
