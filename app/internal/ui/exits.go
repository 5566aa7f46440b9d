package ui

import (
	"context"
	"net/netip"
	"reflect"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// exits is the page of devices that pass on internet traffic.
type exits struct {
	s      *Shell
	box    *fyne.Container
	now    *widget.Label
	off    *Button
	lan    *toggle
	lans   *fyne.Container // a switch for each local network
	search *keyEntry
	list   *enterList
	empty  *widget.Label
	rows   []model.ExitNode
	chosen string // a Device's ID
	drawn  model.Exit
	lansOf []any // what lans was drawn of
	may    bool
	known  bool
	quiet  bool // a change of ours, not the person's
}

func newExits(s *Shell) *exits {
	e := &exits{s: s, now: para(""), empty: para("")}
	e.now.TextStyle.Bold = true
	e.off = newButton(s.say("action.exitoff"), func() { s.exitOff(s.view.Exit.Net) })
	e.lan = newToggle(s, s.say("exit.lan"), e.again, func(on bool) func(context.Context) error { return e.allowLAN(on, e.s.view.Exit.Only) })
	e.lans = container.NewVBox()
	e.search = newKeyEntry(s.say("exit.search"), e.searchKey, s.pass)
	e.search.OnChanged = func(string) { e.apply() }
	e.search.OnSubmitted = func(string) { e.useChosen() }
	e.list = &enterList{enter: e.useChosen}
	e.list.Length = func() int { return len(e.rows) }
	e.list.CreateItem = e.newRow
	e.list.UpdateItem = e.fill
	e.list.OnSelected = func(i widget.ListItemID) {
		if !e.quiet && i < len(e.rows) {
			e.chosen = e.rows[i].Device.ID()
		}
	}
	e.list.ExtendBaseWidget(e.list)
	e.empty.Alignment = fyne.TextAlignCenter
	hint := para(s.say("exit.hint"))
	hint.Importance = widget.LowImportance
	top := container.NewVBox(container.NewBorder(nil, nil, nil, container.NewCenter(e.off), e.now), e.lan.Check, container.New(layout.NewCustomPaddedLayout(0, 0, theme.IconInlineSize()+theme.InnerPadding(), 0), e.lans), hint, e.search)
	e.box = container.NewBorder(top, nil, nil, nil, container.NewStack(e.list, container.NewVBox(layout.NewSpacer(), e.empty, layout.NewSpacer())))
	return e
}

func (e *exits) object() fyne.CanvasObject { return e.box }

func (e *exits) shown() { e.s.win.Canvas().Focus(e.search) }

func (e *exits) set(v model.View) {
	if reflect.DeepEqual(e.drawn, v.Exit) && e.may == v.May && e.known == v.Known && e.now.Text != "" {
		e.list.Refresh() // times go on
		return
	}
	e.drawn, e.may, e.known = v.Exit, v.May, v.Known
	words := e.s.say("page.unknown")
	if v.Known {
		words = model.ExitWords(e.s.env.Text, v.Exit)
	}
	e.now.SetText(words)
	e.now.Importance = widget.MediumImportance
	if v.Exit.State == ipc.ExitBlocked {
		e.now.Importance = widget.DangerImportance
	}
	e.now.Refresh()
	using := v.Exit.Using != ""
	show(e.off, using && v.May)
	e.lan.set(v.Exit.AllowLAN, v.May)
	e.fillLANs(v)
	e.apply()
}

// fillLANs shows a switch for all local networks, and one for each, while the
// switch above them is on.
func (e *exits) fillLANs(v model.View) {
	x := v.Exit
	of := []any{x.AllowLAN, x.Only, x.LANs, v.May}
	if reflect.DeepEqual(e.lansOf, of) {
		return // one of them may have the focus
	}
	e.lansOf = of
	e.lans.RemoveAll()
	show(e.lans, x.AllowLAN && len(x.LANs) > 0)
	if !x.AllowLAN || len(x.LANs) == 0 {
		return
	}
	add := func(label string, on bool, change func(bool) (bool, []netip.Prefix)) {
		c := newToggle(e.s, label, e.again, func(on bool) func(context.Context) error { return e.allowLAN(change(on)) })
		c.set(on, v.May)
		e.lans.Add(c.Check)
	}
	add(e.s.say("exit.lan.all"), len(x.Only) == 0, x.SwitchAllLANs)
	for _, l := range x.LANs {
		label := l.Prefix.String()
		if !l.Here {
			label = e.s.say("exit.lan.away", "prefix", label)
		}
		add(label, l.On, func(on bool) (bool, []netip.Prefix) { return x.SwitchLAN(l.Prefix, on) })
	}
}

func (e *exits) apply() {
	e.rows = model.SearchExits(e.s.view.Exit.Nodes, e.search.Text)
	e.list.Refresh()
	e.quiet = true
	e.list.UnselectAll()
	for i, r := range e.rows {
		if r.Device.ID() == e.chosen {
			e.list.Select(i)
		}
	}
	e.quiet = false
	words := ""
	switch {
	case len(e.rows) > 0:
	case !e.s.view.Known: // said above
	case len(e.s.view.Exit.Nodes) > 0:
		words = e.s.say("devices.nomatch", "query", e.search.Text)
	default:
		words = e.s.say("exit.none")
	}
	e.empty.SetText(words)
	show(e.empty, words != "")
	show(e.list, len(e.rows) > 0)
}

func (e *exits) newRow() fyne.CanvasObject {
	use := newButton(e.s.say("exit.use"), nil)
	cols := columns{24, e.s.wordWidth(), 0.5, 0.5, max(textWidth(e.s.say("exit.use")), textWidth(e.s.say("exit.using"))) + 4*theme.InnerPadding()}
	return container.New(cols, widget.NewIcon(nil), faintCell(), boldCell(), plainCell(), use)
}

func (e *exits) fill(i widget.ListItemID, o fyne.CanvasObject) {
	if i >= len(e.rows) {
		return
	}
	n, cells, c := e.rows[i], o.(*fyne.Container).Objects, e.s.env.Text
	cells[0].(*widget.Icon).SetResource(dotIcon(n.Device.Dot))
	cells[1].(*rowCell).SetText(model.Word(c, n.Device.Dot))
	name := cells[2].(*rowCell)
	name.setInk(theme.ColorNameForeground)
	if !n.Usable() {
		name.setInk(theme.ColorNamePlaceHolder)
	}
	name.SetText(text.Clean(e.s.view.Exit.Name(n)))
	way := model.Path(c, n.Device, e.s.env.Now())
	if n.Recent && !n.Using {
		way += " · " + e.s.say("exit.recent")
	}
	cells[3].(*rowCell).SetText(way)
	use := cells[4].(*Button)
	use.Importance = widget.MediumImportance
	use.Text = e.s.say("exit.use")
	if n.Using {
		use.Text, use.Importance = e.s.say("exit.using"), widget.HighImportance
	}
	use.OnTapped = func() { e.s.exitUse(n) }
	use.Refresh()
	enable(use, n.Usable() && !n.Using && e.s.view.May)
}

// searchKey moves the choice while the search keeps the focus.
func (e *exits) searchKey(k fyne.KeyName) bool {
	step := map[fyne.KeyName]int{fyne.KeyDown: 1, fyne.KeyUp: -1}[k]
	if k == fyne.KeyEscape && e.search.Text != "" {
		e.search.SetText("")
		return true
	}
	if step == 0 || len(e.rows) == 0 {
		return false
	}
	at := -1
	for i, r := range e.rows {
		if r.Device.ID() == e.chosen {
			at = i
		}
	}
	e.list.Select(min(max(at+step, 0), len(e.rows)-1))
	return true
}

// useChosen uses the chosen node, else the only one that matches a search.
func (e *exits) useChosen() {
	for _, r := range e.rows {
		if r.Device.ID() == e.chosen || len(e.rows) == 1 {
			if r.Usable() && !r.Using && e.s.view.May {
				e.s.exitUse(r)
			}
			return
		}
	}
}

// again draws the truth, not the click.
func (e *exits) again() {
	e.drawn, e.lansOf = model.Exit{State: "?"}, nil
	e.set(e.s.view)
}

func (e *exits) allowLAN(on bool, only []netip.Prefix) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := e.s.env.Helper.ExitUse(ctx, ipc.ExitUseRequest{AllowLAN: &on, LANs: only})
		return err
	}
}

// exitUse sends internet traffic through a node.
func (s *Shell) exitUse(n model.ExitNode) {
	s.slow(func(ctx context.Context) error {
		_, err := s.env.Helper.ExitUse(ctx, ipc.ExitUseRequest{Network: n.Device.Net, Device: n.Target()})
		return err
	}, s.failed)
}

// exitOff uses no exit node any more.
func (s *Shell) exitOff(network string) {
	s.slow(func(ctx context.Context) error {
		_, err := s.env.Helper.ExitOff(ctx, network)
		return err
	}, s.failed)
}
