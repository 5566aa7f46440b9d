package ui

import (
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/layout"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// details shows one device.
type details struct {
	s      *Shell
	box    *fyne.Container
	hint   *fyne.Container
	full   *fyne.Container
	rows   *fyne.Container
	scroll *container.Scroll
	name   *widget.Label
	why    *widget.Label
	way    *Button
	line   *sparkline
	pinger *pinger
	grid   *fyne.Container
	exit   *Button
	share  *Button
	reach  *Button
	rename *Button
	role   *Button
	remove *Button
	acts   *fyne.Container
	dev    model.Device
	drawn  []line
}

func newDetails(s *Shell) *details {
	d := &details{s: s, line: newSparkline(), pinger: newPinger(s)}
	d.pinger.took = func(ms float64) {
		d.line.push(ms)
		show(d.line.raster, len(d.line.at) > 1)
	}
	d.name = bold("")
	d.name.SizeName = theme.SizeNameSubHeadingText
	d.why = para("")
	d.way = newButton(s.say("action.why"), func() { s.Open("diagnostics") })
	d.way.Importance = widget.LowImportance
	d.grid = container.New(layout.NewFormLayout())
	copyName := newIconButton(s.say("button.copyname"), theme.ContentCopyIcon(), func() { s.copy(d.dev.Peer.FQDN) })
	copyAddr := newIconButton(s.say("button.copyaddr"), theme.ContentCopyIcon(), func() { s.copy(address(d.dev.Peer)) })
	d.exit = newButton("", d.toggleExit)
	d.share = newButton(s.say("button.share"), func() { s.showShare(d.dev) })
	d.reach = newButton(s.say("button.access"), func() { s.showReach(d.dev) })
	d.rename = newButton(s.say("button.rename"), func() { s.askRename(d.dev) })
	d.role = newButton(s.say("button.role"), func() { s.askRole(d.dev) })
	d.remove = newButton(s.say("button.remove"), func() { s.askRemove(d.dev) })
	d.remove.Importance = widget.DangerImportance
	hint := faint(s.say("devices.pick"))
	hint.Alignment = fyne.TextAlignCenter
	d.hint = container.NewCenter(container.New(fixedWidth(200), hint))
	d.acts = container.New(flow{}, d.exit, d.share, d.reach, d.rename, d.role, d.remove)
	d.rows = container.NewVBox(
		d.name, container.New(flow{}, copyName, copyAddr), d.why, container.NewHBox(d.way),
		d.line.raster, d.pinger.box, d.grid)
	d.scroll = scrolled(d.rows)
	d.full = container.NewBorder(nil, container.NewVBox(widget.NewSeparator(), d.acts), nil, nil, d.scroll)
	d.box = container.NewStack(d.hint, d.full)
	d.none()
	return d
}

func (d *details) object() fyne.CanvasObject { return container.NewPadded(d.box) }

func (d *details) none() {
	d.dev = model.Device{}
	d.pinger.set(model.Device{})
	d.full.Hide()
	d.hint.Show()
}

func (d *details) set(dev model.Device) {
	if dev.ID() != d.dev.ID() {
		d.scroll.ScrollToTop()
	}
	d.dev = dev
	c, v := d.s.env.Text, d.s.view
	d.name.SetText(text.Clean(dev.Peer.Name))
	say(d.why, model.Why(c, dev))
	show(d.way, dev.Relayed && dev.Dot == model.DotOnline)
	d.line.add(dev)
	show(d.line.raster, len(d.line.at) > 1)
	d.pinger.set(dev)
	d.fillGrid(d.lines(dev))
	using := v.Exit.In(dev)
	d.exit.SetText(d.s.say("button.useexit"))
	if using {
		d.exit.SetText(d.s.say("action.exitoff"))
	}
	show(d.exit, v.May && (dev.Peer.Exit || using))
	enable(d.exit, using || dev.Dot == model.DotOnline)
	own := dev.Shared == ""
	admin := v.May && own && isAdmin(roleIn(v, dev.Net))
	show(d.share, admin)
	show(d.reach, v.May && own)
	show(d.rename, admin)
	show(d.role, admin)
	show(d.remove, admin)
	d.acts.Refresh()
	d.hint.Hide()
	d.full.Show()
	d.rows.Refresh() // what wraps has other heights now
}

func (d *details) toggleExit() {
	if d.s.view.Exit.In(d.dev) {
		d.s.exitOff(d.dev.Net)
		return
	}
	d.s.exitUse(model.ExitNode{Device: d.dev})
}

// line is a label with its value.
type line struct {
	label, value string
	made         func(string) settable // how the value breaks
}

// settable is a text that can be another.
type settable interface {
	fyne.CanvasObject
	SetText(string)
}

// lines are what is known of a device.
func (d *details) lines(dev model.Device) (lines []line) {
	c, p := d.s.env.Text, dev.Peer
	add := func(k text.Key, v string, made func(string) settable) {
		if v != "" {
			lines = append(lines, line{c.S(k), text.Clean(v), made})
		}
	}
	add("detail.name", p.FQDN, nameValue)
	if dev.Shared != "" {
		add("detail.shared", dev.SharedBy, nameValue)
	}
	add("detail.network", dev.NetName, nameValue)
	if p.IPv4 != nil {
		add("detail.ipv4", p.IPv4.String(), codeValue)
	}
	if p.IPv6 != nil {
		add("detail.ipv6", p.IPv6.String(), codeValue)
	}
	add("detail.path", model.Path(c, dev, d.s.env.Now()), wordsValue)
	if p.Endpoint != nil {
		add("detail.endpoint", p.Endpoint.String(), codeValue)
	}
	if p.LastHandshake != nil {
		add("detail.handshake", c.Ago(d.s.env.Now().Sub(*p.LastHandshake)), wordsValue)
	}
	if p.RxBytes != nil && p.TxBytes != nil {
		add("detail.traffic", c.S("detail.bytes", "down", bytesOf(*p.RxBytes), "up", bytesOf(*p.TxBytes)), wordsValue)
	}
	if p.OS != nil {
		add("detail.os", *p.OS, wordsValue)
	}
	add("detail.tags", strings.Join(p.Tags, ", "), wordsValue)
	if p.Role != "" {
		add("detail.role", model.RoleWord(c, p.Role), wordsValue)
	}
	add("detail.by", p.AddedBy, nameValue)
	add("detail.key", p.Key, codeValue)
	return lines
}

// fillGrid touches only what differs, so that a selection in a value lives.
func (d *details) fillGrid(lines []line) {
	same := len(lines) == len(d.drawn)
	for i := range lines {
		same = same && lines[i].label == d.drawn[i].label
	}
	if same {
		for i := range lines {
			if lines[i].value != d.drawn[i].value {
				d.grid.Objects[2*i+1].(settable).SetText(lines[i].value)
			}
		}
		d.drawn = lines
		return
	}
	d.drawn = lines
	d.grid.Objects = nil
	for _, l := range lines {
		label := widget.NewLabel(l.label)
		label.Importance = widget.LowImportance
		d.grid.Objects = append(d.grid.Objects, label, l.made(l.value))
	}
	d.grid.Refresh()
}

func address(p ipc.Peer) string {
	switch {
	case p.IPv4 != nil:
		return p.IPv4.String()
	case p.IPv6 != nil:
		return p.IPv6.String()
	}
	return ""
}

func roleIn(v model.View, net string) ipc.Role {
	for _, n := range v.Nets {
		if n.ID == net {
			return n.Role
		}
	}
	return ""
}

func isAdmin(r ipc.Role) bool { return r == ipc.RoleOwner || r == ipc.RoleAdmin }

func canInvite(n model.Net) bool { return isAdmin(n.Role) || n.Role == ipc.RoleSponsor }

// bytesOf is a count of bytes as a person reads it.
func bytesOf(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f /= 1000
		i++
	}
	if i == 0 || f >= 100 {
		return text.Number(int(f)) + " " + units[i]
	}
	return strings.TrimSuffix(trim1(f), ".0") + " " + units[i]
}

func trim1(f float64) string {
	n := int(f*10 + 0.5)
	return text.Number(n/10) + "." + text.Number(n%10)
}
