package ui

import (
	"context"
	"net/netip"
	"reflect"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// toggle is a check that shows the helper's truth: a click asks, and what
// cannot be done is taken back.
type toggle struct {
	*Check
	quiet bool
	busy  bool // the helper is asked
}

// newToggle makes one. ask tells, at the click, what to do; again draws the
// truth.
func newToggle(s *Shell, words string, again func(), ask func(on bool) func(context.Context) error) *toggle {
	t := &toggle{}
	t.Check = newCheck(words, nil)
	t.OnChanged = func(on bool) {
		if t.quiet {
			return
		}
		t.busy = true
		t.Disable()
		s.slow(ask(on), func(err error) {
			t.busy = false
			if err == nil {
				t.Enable() // the truth comes with the service's state
				return
			}
			again()
			s.failed(err)
		})
	}
	return t
}

// set shows the truth, unless it is about to change.
func (t *toggle) set(on, may bool) {
	if t.busy {
		return
	}
	t.quiet = true
	t.SetChecked(on)
	t.quiet = false
	enable(t, may)
}

// deviceSection is what this device does in a network.
type deviceSection struct {
	s       *Shell
	p       *settings
	box     fyne.CanvasObject
	rows    *fyne.Container
	none    *widget.Label
	shields *toggle
	exit    *toggle
	lan     *toggle
	state   *widget.Label
	forward *toggle
	relay   *toggle
	relayed *widget.Label
	where   *keyEntry // where others find the relay, "" its own addresses
}

func newDeviceSection(s *Shell, p *settings) *deviceSection {
	d := &deviceSection{s: s, p: p, none: faint(""), state: faint(""), relayed: faint("")}
	again := func() { d.set(s.view) }
	offer := func(on, lan bool) func(context.Context) error {
		req := ipc.ExitOfferRequest{Network: p.net, On: on, LAN: lan}
		return func(ctx context.Context) error {
			_, err := s.env.Helper.ExitOffer(ctx, req)
			return err
		}
	}
	d.shields = newToggle(s, s.say("device.shields"), again, func(on bool) func(context.Context) error {
		req := ipc.UpRequest{Network: p.net, Shields: &on}
		return func(ctx context.Context) error {
			_, err := s.env.Helper.Up(ctx, req)
			return err
		}
	})
	d.exit = newToggle(s, s.say("device.exit"), again, func(on bool) func(context.Context) error { return offer(on, on && d.lan.Checked) })
	d.lan = newToggle(s, s.say("device.exitlan"), again, func(on bool) func(context.Context) error { return offer(true, on) })
	d.forward = newToggle(s, s.say("device.forward"), again, func(on bool) func(context.Context) error {
		req := ipc.ForwardRequest{Network: p.net, On: on}
		return func(ctx context.Context) error {
			_, err := s.env.Helper.Forward(ctx, req)
			return err
		}
	})
	d.where = newKeyEntry(s.say("device.relay.where"), nil, s.pass)
	d.relay = newToggle(s, s.say("device.relay"), again, func(on bool) func(context.Context) error {
		req := ipc.RelayRequest{Network: p.net, Advertise: strings.TrimSpace(d.where.Text)}
		return func(ctx context.Context) (err error) {
			if on {
				_, err = s.env.Helper.RelayOn(ctx, req)
			} else {
				_, err = s.env.Helper.RelayOff(ctx, req.Network)
			}
			return err
		}
	})
	d.rows = container.NewVBox(
		d.shields.Check, faint(s.say("device.shields.hint")), d.exit.Check, d.state, d.lan.Check,
		d.forward.Check, faint(s.say("device.forward.hint")), d.relay.Check, d.where, d.relayed)
	d.box = scrolled(container.NewVBox(d.none, d.rows))
	return d
}

func offers(n model.Net) bool { return n.Exit.Offering || n.Exit.Pending }

func (d *deviceSection) object() fyne.CanvasObject { return d.box }

func (d *deviceSection) shown() {}

func (d *deviceSection) set(v model.View) {
	n, ok := d.p.chosen()
	d.none.SetText(d.p.none())
	show(d.none, !ok)
	show(d.rows, ok)
	if !ok {
		return
	}
	d.shields.set(n.Shields, v.May)
	d.exit.set(offers(n), v.May)
	d.lan.set(n.Exit.OfferLAN, v.May && offers(n))
	d.forward.set(n.Forward, v.May)
	d.relay.set(n.Relay.On || n.Relay.Pending, v.May)
	words := d.s.say("device.exit.hint")
	switch {
	case n.Exit.Pending:
		words = d.s.say("device.pending")
	case n.Exit.Offering && n.Exit.NAT == "userspace":
		words = d.s.say("device.exit.slow")
	case n.Exit.Offering:
		words = d.s.say("device.exit.on")
	}
	d.state.SetText(words)
	words = d.s.say("device.relay.hint")
	switch {
	case n.Relay.Pending:
		words = d.s.say("device.pending")
	case n.Relay.On:
		words = d.s.say("device.relay.on", "where", strings.Join(n.Relay.Advertised, ", "))
	}
	d.relayed.SetText(words)
	enable(d.where, v.May)
	show(d.where, !n.Relay.On && !n.Relay.Pending)
}

// routesSection is the subnets behind devices.
type routesSection struct {
	s     *Shell
	p     *settings
	box   fyne.CanvasObject
	list  *fyne.Container
	entry *keyEntry
	add   *Button
	bad   *widget.Label
	drawn []ipc.Route
	of    string
	may   bool
}

func newRoutesSection(s *Shell, p *settings) *routesSection {
	r := &routesSection{s: s, p: p, list: container.NewVBox(), bad: danger()}
	r.entry = newKeyEntry("192.168.7.0/24", nil, s.pass)
	r.entry.OnSubmitted = func(string) { r.offer() }
	r.add = newButton(s.say("route.add"), r.offer)
	top := container.NewVBox(faint(s.say("route.hint")), container.NewBorder(nil, nil, nil, r.add, r.entry), r.bad)
	r.box = container.NewBorder(top, nil, nil, nil, scrolled(r.list))
	return r
}

func (r *routesSection) object() fyne.CanvasObject { return r.box }

func (r *routesSection) shown() { r.s.win.Canvas().Focus(r.entry) }

// offer makes this device lead to a subnet.
func (r *routesSection) offer() {
	s := r.s
	if r.add.Disabled() {
		return
	}
	prefix, err := netip.ParsePrefix(strings.TrimSpace(r.entry.Text))
	if err != nil {
		say(r.bad, s.say("route.bad"))
		return
	}
	say(r.bad, "")
	req := ipc.RouteRequest{Network: r.p.net, Prefix: prefix.Masked()}
	r.add.Disable()
	var got ipc.RouteAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.RouteAdd(ctx, req)
		return err
	}, func(err error) {
		enable(r.add, s.view.May)
		switch {
		case err != nil:
			say(r.bad, s.words(err))
		case got.Pending:
			r.entry.SetText("")
			s.tell("", s.say("device.pending"))
		default:
			r.entry.SetText("")
		}
	})
}

func (r *routesSection) set(v model.View) {
	n, ok := r.p.chosen()
	enable(r.add, ok && v.May)
	if r.of == n.ID && r.may == v.May && reflect.DeepEqual(r.drawn, n.Routes) && len(r.list.Objects) > 0 {
		return
	}
	r.of, r.may, r.drawn = n.ID, v.May, n.Routes
	r.list.RemoveAll()
	for _, route := range n.Routes {
		r.list.Add(r.row(n, route))
	}
	if len(n.Routes) == 0 {
		r.list.Add(faint(r.s.say("route.none")))
	}
}

func (r *routesSection) row(n model.Net, route ipc.Route) fyne.CanvasObject {
	s := r.s
	req := ipc.RouteRequest{Network: n.ID, Prefix: route.Prefix, Device: route.Device}
	var facts []string
	switch {
	case route.Own:
		facts = append(facts, s.say("route.own"))
	case route.Active:
		facts = append(facts, s.say("route.active"))
	}
	if !route.Approved {
		facts = append(facts, s.say("route.waits"))
	}
	if route.Conflict != nil {
		facts = append(facts, s.say("route.conflict", "route", route.Prefix.String(), "with", *route.Conflict))
	}
	acts := container.NewHBox()
	button := func(words string, call func(context.Context) error) {
		var b *Button
		b = newButton(words, func() {
			b.Disable()
			s.slow(call, func(err error) { b.Enable(); s.failed(err) })
		})
		enable(b, s.view.May)
		acts.Add(b)
	}
	if !route.Approved && isAdmin(n.Role) {
		button(s.say("button.approve"), func(ctx context.Context) error {
			_, err := s.env.Helper.RouteApprove(ctx, req)
			return err
		})
	}
	switch {
	case route.Own:
		button(s.say("route.remove"), func(ctx context.Context) error {
			_, err := s.env.Helper.RouteRemove(ctx, req)
			return err
		})
	case route.Accepted:
		req.Off = true
		button(s.say("route.off"), func(ctx context.Context) error {
			_, err := s.env.Helper.RouteAccept(ctx, req)
			return err
		})
	default:
		button(s.say("route.use"), func(ctx context.Context) error {
			_, err := s.env.Helper.RouteAccept(ctx, req)
			return err
		})
	}
	name := bold(s.say("route.row", "route", route.Prefix.String(), "device", route.Device))
	return container.NewBorder(nil, nil, nil, container.NewCenter(acts), container.NewVBox(name, faint(strings.Join(facts, " · "))))
}
