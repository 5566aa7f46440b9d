package ui

import (
	"context"
	"reflect"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// networks is the page of networks, joins under way and requests.
type networks struct {
	s      *Shell
	box    *fyne.Container
	list   *fyne.Container
	joinB  *Button
	makeB  *Button
	drawn  networksDrawn
	asks   map[string][]ipc.Device // by network ID
	asking bool                    // a question is under way
	dirty  bool                    // ask again after it
	at     time.Time               // of the last question
}

// askAgain is how long after a question what devices ask for may be old.
const askAgain = 5 * time.Second

// networksDrawn is what the page was built from.
type networksDrawn struct {
	nets  []model.Net
	joins []model.Join
	may   bool
	known bool
	asks  map[string][]ipc.Device
	near  ipc.Nearby
}

func newNetworks(s *Shell) *networks {
	n := &networks{s: s, asks: map[string][]ipc.Device{}}
	n.joinB = newIconButton(s.say("action.join"), theme.LoginIcon(), func() { s.ShowLink("") })
	n.joinB.Importance = widget.HighImportance
	n.makeB = newIconButton(s.say("tray.create"), theme.ContentAddIcon(), s.showCreate)
	n.list = container.NewVBox()
	n.box = container.NewBorder(container.NewHBox(n.joinB, n.makeB), nil, nil, nil, scrolled(n.list))
	return n
}

func (n *networks) object() fyne.CanvasObject { return n.box }

func (n *networks) shown() {
	if !n.asking {
		n.ask()
	}
}

func (n *networks) set(v model.View) {
	for _, b := range []*Button{n.joinB, n.makeB} {
		if v.May {
			b.Enable()
		} else {
			b.Disable()
		}
	}
	// The helper's state does not tell what devices ask for.
	if late := n.s.env.Now().Sub(n.at) >= askAgain; late || !reflect.DeepEqual(n.drawn.nets, v.Nets) {
		n.ask()
	}
	n.draw()
}

func (n *networks) draw() {
	v := n.s.view
	now := networksDrawn{v.Nets, v.Joining, v.May, v.Known, n.asks, v.Nearby}
	if reflect.DeepEqual(now, n.drawn) && len(n.list.Objects) > 0 {
		return
	}
	n.drawn = now
	n.list.Objects = nil
	for _, j := range v.Joining {
		n.list.Add(n.joining(j))
	}
	if len(v.Nearby.Networks) > 0 {
		n.list.Add(head(n.s.say("nearby.head")))
		for _, o := range v.Nearby.Networks {
			n.list.Add(n.s.nearbyCard(o))
		}
		n.list.Add(head(n.s.say("networks.mine")))
	}
	for _, net := range v.Nets {
		n.list.Add(n.card(net))
	}
	if len(v.Nets)+len(v.Joining) == 0 {
		words := "networks.empty"
		if !v.Known {
			words = "page.unknown"
		}
		n.list.Add(para(n.s.say(text.Key(words))))
	}
	n.list.Refresh()
}

// card is one network.
func (n *networks) card(net model.Net) fyne.CanvasObject {
	s := n.s
	on := newCheck(s.say("networks.on"), nil)
	on.Checked = net.Active && !net.Removed
	on.OnChanged = func(up bool) {
		on.Disable()
		s.slow(func(ctx context.Context) (err error) {
			if up {
				_, err = s.env.Helper.Up(ctx, ipc.UpRequest{Network: net.ID})
			} else {
				_, err = s.env.Helper.Down(ctx, net.ID)
			}
			return err
		}, func(err error) {
			on.Enable()
			if err != nil {
				n.drawn = networksDrawn{}
				n.draw() // the truth, not the click
				s.failed(err)
			}
		})
	}
	invite := newIconButton(s.say("button.invite"), theme.AccountIcon(), func() { s.showInvite(net) })
	invite.Importance = widget.HighImportance
	leave := newButton(s.say("button.leave"), func() { s.askLeave(net) })
	if !s.view.May {
		on.Disable()
		leave.Disable()
	}
	if net.Removed {
		on.Disable()
	}
	buttons := container.NewHBox(on)
	if s.view.May && canInvite(net) {
		buttons.Add(invite)
	}
	buttons.Add(leave)
	self := wordsValue(net.SelfFQDN)
	copyIt := newIconButton(s.say("button.copyname"), theme.ContentCopyIcon(), func() { s.copy(net.SelfFQDN) })
	copyIt.Importance = widget.LowImportance
	body := container.NewVBox(container.NewBorder(nil, nil, nil, copyIt, self))
	if a := joined(net.IPv4, net.IPv6); a != "" {
		addrs := selectable(a, fyne.TextWrapBreak)
		addrs.Importance = widget.LowImportance
		body.Add(addrs)
	}
	for _, a := range s.view.Nearby.Asking {
		if a.Network == net.Name {
			body.Add(s.askingRow(a))
		}
	}
	for _, dev := range n.asks[net.ID] {
		for _, ask := range dev.Asks {
			body.Add(n.request(net, dev, ask))
		}
	}
	if s.view.May && isAdmin(net.Role) && net.Active {
		body.Add(s.openRow(net))
	}
	body.Add(buttons)
	return titled(net.Name, model.Facts(s.env.Text, net), body)
}

func joined(a, b string) string {
	if a != "" && b != "" {
		return a + "  ·  " + b
	}
	return a + b
}

// joining is a join under way, by its stages.
func (n *networks) joining(j model.Join) fyne.CanvasObject {
	s := n.s
	bar := widget.NewProgressBar()
	bar.Max = 3
	bar.TextFormatter = func() string { return "" }
	bar.SetValue(float64(j.Step) - 0.5)
	stop := newButton(s.say("button.stop"), func() {
		s.slow(func(ctx context.Context) error {
			_, err := s.env.Helper.Leave(ctx, j.ID)
			return err
		}, s.failed)
	})
	if !s.view.May {
		stop.Disable()
	}
	until := s.say("join.until", "when", s.env.Text.When(j.Expires, s.env.Now()))
	return titled(s.say("state.joining", "network", j.Network), s.env.Text.Say(j.Text),
		container.NewVBox(bar, container.NewBorder(nil, nil, nil, stop, widget.NewLabel(s.say("join.expires")+" "+until))))
}

// request is one thing that a device asks an admin for.
func (n *networks) request(net model.Net, dev ipc.Device, ask ipc.Request) fyne.CanvasObject {
	s := n.s
	var words string
	switch ask.Kind {
	case "rename":
		words = s.say("networks.rename", "device", dev.Name, "value", ask.Value)
	case "renew":
		words = s.say("networks.renew", "device", dev.Name)
	case "relay":
		words = s.say("networks.relay", "device", dev.Name, "value", ask.Value)
	case "exit":
		words = s.say("networks.exit", "device", dev.Name)
	case "route":
		words = s.say("networks.route", "device", dev.Name, "value", ask.Value)
	default:
		words = s.say("networks.other", "device", dev.Name, "kind", ask.Kind, "value", ask.Value)
	}
	var yes *Button
	yes = newButton(s.say("button.approve"), func() {
		yes.Disable()
		s.slow(func(ctx context.Context) error { return s.approve(ctx, net, dev, ask) }, func(err error) {
			yes.Enable()
			s.failed(err)
			n.ask()
		})
	})
	return container.NewVBox(bold(s.say("networks.asks")), container.NewBorder(nil, nil, nil, yes, para(words)))
}

// approve grants what a device asks for, as it was shown.
func (s *Shell) approve(ctx context.Context, net model.Net, dev ipc.Device, ask ipc.Request) error {
	_, err := s.env.Helper.DeviceApprove(ctx, ipc.DeviceRequest{Network: net.ID, Device: dev.Key, Asks: []ipc.Request{ask}})
	return err
}

// ask fetches what devices ask for, in the networks where this device may
// grant it; one question at a time.
func (n *networks) ask() {
	v := n.s.view
	if n.asking {
		n.dirty = true
		return
	}
	var ids []string
	for _, net := range v.Nets {
		if v.May && isAdmin(net.Role) && net.Active {
			ids = append(ids, net.ID)
		}
	}
	if len(ids) == 0 {
		if len(n.asks) > 0 {
			n.asks = map[string][]ipc.Device{}
			n.draw()
		}
		return
	}
	n.asking, n.dirty, n.at = true, false, n.s.env.Now()
	found := map[string][]ipc.Device{}
	n.s.slow(func(ctx context.Context) error {
		for _, id := range ids {
			list, err := n.s.env.Helper.DeviceList(ctx, id)
			if err != nil {
				return err
			}
			for _, d := range list.Devices {
				if len(d.Asks) > 0 {
					found[id] = append(found[id], d)
				}
			}
		}
		return nil
	}, func(err error) {
		n.asking = false
		if err == nil {
			n.asks = found
			n.draw()
		}
		if n.dirty {
			n.ask()
		}
	})
}

func (s *Shell) askLeave(net model.Net) {
	words := s.say("leave.text", "network", net.Name)
	if net.Role == ipc.RoleOwner {
		words += "\n\n" + s.say("leave.owner")
	}
	s.confirm(s.say("leave.title", "network", brief(net.Name)), words, s.say("button.leave"), func() {
		s.slow(func(ctx context.Context) error {
			_, err := s.env.Helper.Leave(ctx, net.ID)
			return err
		}, s.failed)
	})
}
