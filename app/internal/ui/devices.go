package ui

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/assets"
)

// devices is the page that lists all peers.
type devices struct {
	s        *Shell
	box      *fyne.Container
	search   *keyEntry
	filter   *widget.RadioGroup
	list     *enterList
	empty    *fyne.Container
	emptyTxt *widget.Label
	first    *fyne.Container // in place of all, before the first network
	split    *container.Split
	joinBtn  *Button
	makeBtn  *Button
	invite   *Button
	count    *widget.Label
	detail   *details
	rows     []model.Device
	selected string // a Device's ID, "" none
	quiet    bool   // a selection of ours, not the person's
}

// enterList is a list on which Enter acts.
type enterList struct {
	widget.List
	enter func()
}

func (l *enterList) TypedKey(k *fyne.KeyEvent) {
	if k.Name == fyne.KeyReturn || k.Name == fyne.KeyEnter {
		l.enter()
		return
	}
	l.List.TypedKey(k)
}

func newDevices(s *Shell) *devices {
	d := &devices{s: s}
	d.search = newKeyEntry(s.say("devices.search"), d.searchKey, s.pass)
	d.search.OnChanged = func(string) { d.apply() }
	d.search.OnSubmitted = func(string) { d.copyName() }
	d.filter = widget.NewRadioGroup([]string{s.say("devices.all"), s.say("devices.online"), s.say("devices.offline")}, func(string) { d.apply() })
	d.filter.Horizontal, d.filter.Required = true, true
	d.list = &enterList{enter: d.copyName}
	d.list.Length = func() int { return len(d.rows) }
	d.list.CreateItem = d.newRow
	d.list.UpdateItem = func(i widget.ListItemID, o fyne.CanvasObject) { d.fill(i, o) }
	d.list.OnSelected = func(i widget.ListItemID) { d.pick(i) }
	d.list.ExtendBaseWidget(d.list)
	d.emptyTxt = para("")
	d.emptyTxt.Alignment = fyne.TextAlignCenter
	d.joinBtn = newButton(s.say("first.join"), func() { s.ShowLink("") })
	d.makeBtn = newButton(s.say("first.create"), s.showCreate)
	d.joinBtn.Importance = widget.HighImportance
	d.invite = newButton(s.say("button.invite"), func() { s.showInvite(s.view.Nets[0]) })
	d.invite.Importance = widget.HighImportance
	d.empty = container.NewCenter(container.New(fixedWidth(340), container.NewVBox(d.emptyTxt, container.NewCenter(d.invite))))
	d.first = d.welcome()
	d.count = widget.NewLabel("")
	d.count.Importance = widget.LowImportance
	d.detail = newDetails(s)
	left := container.NewBorder(container.NewVBox(d.search, d.filter), d.count, nil, nil, container.NewStack(d.list, d.empty))
	d.split = container.NewHSplit(left, d.detail.object())
	d.split.Offset = 0.68
	d.box = container.NewStack(d.split, d.first)
	d.filter.SetSelected(s.say("devices.all"))
	return d
}

func (d *devices) object() fyne.CanvasObject { return d.box }

// shown gives the search the focus, or the first step.
func (d *devices) shown() {
	if d.first.Visible() {
		d.s.win.Canvas().Focus(d.joinBtn)
		return
	}
	d.s.win.Canvas().Focus(d.search)
}

// welcome is what stands here before the first network.
func (d *devices) welcome() *fyne.Container {
	s := d.s
	title := head(s.say("first.title"))
	title.Alignment = fyne.TextAlignCenter
	done := container.NewCenter(container.NewHBox(widget.NewIcon(theme.ConfirmIcon()), widget.NewLabel(s.say("first.service"))))
	choose := para(s.say("first.choose"))
	choose.Alignment = fyne.TextAlignCenter
	return container.NewCenter(container.New(fixedWidth(460), container.NewVBox(
		title, done, choose, container.NewCenter(container.NewHBox(d.joinBtn, d.makeBtn)))))
}

func (d *devices) set(v model.View) {
	d.apply()
}

// apply filters anew and keeps the selection.
func (d *devices) apply() {
	if d.list == nil || d.detail == nil {
		return
	}
	d.rows = model.Search(d.s.view.Devices, d.search.Text, d.filterNow())
	d.list.Refresh()
	d.sayEmpty()
	d.count.SetText("")
	if len(d.rows) > 0 {
		d.count.SetText(d.s.say("devices.count", "n", text.Number(len(d.rows))))
	}
	if i := d.index(); i >= 0 {
		d.detail.set(d.rows[i])
		d.mark(i)
		return
	}
	d.quiet = true
	d.list.UnselectAll()
	d.quiet = false
	d.selected = ""
	d.detail.none()
}

func (d *devices) filterNow() model.Filter {
	switch d.filter.Selected {
	case d.s.say("devices.online"):
		return model.FilterOnline
	case d.s.say("devices.offline"):
		return model.FilterOffline
	}
	return model.FilterAll
}

func (d *devices) sayEmpty() {
	v := d.s.view
	first := v.Known && len(v.Nets)+len(v.Devices) == 0
	if first != d.first.Visible() {
		show(d.first, first)
		show(d.split, !first)
		if d.s.current == "devices" {
			d.shown()
		}
	}
	enable(d.joinBtn, v.May)
	enable(d.makeBtn, v.May)
	invite := false
	var words string
	switch {
	case len(d.rows) > 0:
	case !v.Known:
		words = d.s.say("devices.unknown")
	case len(v.Devices) == 0:
		words, invite = d.s.say("devices.alone"), len(v.Nets) > 0 && canInvite(v.Nets[0])
	case d.search.Text != "":
		words = d.s.say("devices.nomatch", "query", d.search.Text)
	case d.filterNow() == model.FilterOnline:
		words = d.s.say("devices.none.on")
	default:
		words = d.s.say("devices.none.off")
	}
	d.emptyTxt.SetText(words)
	show(d.invite, invite && v.May)
	show(d.empty, words != "")
	show(d.list, words == "")
}

// cell is a text of a row; what does not fit ends in an ellipsis.
func cell(style fyne.TextStyle) *widget.Label {
	l := widget.NewLabelWithStyle("", fyne.TextAlignLeading, style)
	l.Truncation = fyne.TextTruncateEllipsis
	return l
}

func (d *devices) newRow() fyne.CanvasObject {
	cols := columns{24, d.s.wordWidth(), 0.31, 0.25, 0.44}
	return container.New(cols, widget.NewIcon(nil), faintCell(), boldCell(), faintCell(), plainCell())
}

func plainCell() *rowCell { return newRowCell(theme.ColorNameForeground, fyne.TextStyle{}) }
func boldCell() *rowCell  { return newRowCell(theme.ColorNameForeground, fyne.TextStyle{Bold: true}) }
func faintCell() *rowCell { return newRowCell(theme.ColorNamePlaceHolder, fyne.TextStyle{}) }

// wordWidth holds the longest of the words beside a dot.
func (s *Shell) wordWidth() float32 {
	w := float32(0)
	for _, d := range []model.Dot{model.DotOnline, model.DotOffline, model.DotUnknown} {
		w = max(w, textWidth(model.Word(s.env.Text, d)))
	}
	return w + 2*theme.InnerPadding() + 2
}

func textWidth(s string) float32 {
	return fyne.MeasureText(s, theme.TextSize(), fyne.TextStyle{}).Width
}

func (d *devices) fill(i widget.ListItemID, o fyne.CanvasObject) {
	if i >= len(d.rows) {
		return
	}
	dev, cells := d.rows[i], o.(*fyne.Container).Objects
	cells[0].(*widget.Icon).SetResource(dotIcon(dev.Dot))
	cells[1].(*rowCell).SetText(model.Word(d.s.env.Text, dev.Dot))
	name := text.Clean(dev.Peer.Name)
	if len(d.s.view.Nets) > 1 || dev.Shared != "" {
		name += " · " + text.Clean(dev.NetName)
	}
	cells[2].(*rowCell).SetText(name)
	os := ""
	switch {
	case dev.Shared != "":
		os = d.s.say("row.shared", "label", dev.SharedBy)
	case dev.Peer.OS != nil:
		os = text.Clean(*dev.Peer.OS)
	}
	cells[3].(*rowCell).SetText(os)
	cells[4].(*rowCell).SetText(model.Path(d.s.env.Text, dev, d.s.env.Now()))
}

// dots are shared by all rows, so that a row drawn anew reads no SVG.
var dots = map[model.Dot]fyne.Resource{
	model.DotOnline:  fyne.NewStaticResource("dot-online.svg", assets.SVG("dot-online")),
	model.DotOffline: fyne.NewStaticResource("dot-offline.svg", assets.SVG("dot-offline")),
	model.DotUnknown: fyne.NewStaticResource("dot-unknown.svg", assets.SVG("dot-unknown")),
}

func dotIcon(dot model.Dot) fyne.Resource { return dots[dot] }

func (d *devices) index() int {
	return slices.IndexFunc(d.rows, func(r model.Device) bool { return r.ID() == d.selected })
}

// pick takes the person's choice.
func (d *devices) pick(i widget.ListItemID) {
	if d.quiet || i >= len(d.rows) {
		return
	}
	d.selected = d.rows[i].ID()
	d.detail.set(d.rows[i])
}

// mark shows a selection without taking it for the person's.
func (d *devices) mark(i int) {
	d.quiet = true
	d.list.Select(i)
	d.quiet = false
}

// searchKey moves the selection while the search keeps the focus.
func (d *devices) searchKey(k fyne.KeyName) bool {
	step := map[fyne.KeyName]int{fyne.KeyDown: 1, fyne.KeyUp: -1}[k]
	if k == fyne.KeyEscape && d.search.Text != "" {
		d.search.SetText("")
		return true
	}
	if step == 0 || len(d.rows) == 0 {
		return false
	}
	i := d.index() + step
	if d.index() < 0 {
		i = 0
	}
	d.list.Select(min(max(i, 0), len(d.rows)-1))
	return true
}

// chosen is the selected device, else the first match of a search, as they are
// now: another page may have been in front while they changed.
func (d *devices) chosen() (model.Device, bool) {
	d.apply()
	if i := d.index(); i >= 0 {
		return d.rows[i], true
	}
	if len(d.rows) > 0 && (d.search.Text != "" || len(d.rows) == 1) {
		return d.rows[0], true
	}
	return model.Device{}, false
}

func (d *devices) copyName() {
	if dev, ok := d.chosen(); ok {
		d.s.copy(dev.Peer.FQDN)
	}
}

// ping pings the chosen device until it is reached directly.
func (d *devices) ping() {
	if dev, ok := d.chosen(); ok {
		d.s.Open("devices")
		if d.selected == "" {
			d.list.Select(0)
		}
		d.detail.set(dev)
		d.detail.pinger.start(dev)
	}
}

func (d *devices) copyAddress() {
	if dev, ok := d.chosen(); ok {
		d.s.copy(address(dev.Peer))
	}
}
