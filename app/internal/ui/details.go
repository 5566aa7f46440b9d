package ui

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"
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
	full   *container.Scroll
	name   *widget.Label
	why    *widget.Label
	grid   *fyne.Container
	rename *widget.Button
	remove *widget.Button
	dev    model.Device
	drawn  []string
}

func newDetails(s *Shell) *details {
	d := &details{s: s}
	d.name = widget.NewLabelWithStyle("", fyne.TextAlignLeading, fyne.TextStyle{Bold: true})
	d.name.Truncation = fyne.TextTruncateEllipsis
	d.name.SizeName = theme.SizeNameSubHeadingText
	d.why = para("")
	d.grid = container.New(layout.NewFormLayout())
	copyName := widget.NewButtonWithIcon(s.say("button.copyname"), theme.ContentCopyIcon(), func() { s.copy(d.dev.Peer.FQDN) })
	copyAddr := widget.NewButtonWithIcon(s.say("button.copyaddr"), theme.ContentCopyIcon(), func() { s.copy(address(d.dev.Peer)) })
	d.rename = widget.NewButton(s.say("button.rename"), d.askRename)
	d.remove = widget.NewButton(s.say("button.remove"), d.askRemove)
	d.remove.Importance = widget.DangerImportance
	hint := para(s.say("devices.pick"))
	hint.Alignment = fyne.TextAlignCenter
	hint.Importance = widget.LowImportance
	d.hint = container.NewCenter(container.New(fixedWidth(200), hint))
	d.full = container.NewVScroll(container.NewVBox(
		d.name, container.NewGridWithColumns(2, copyName, copyAddr), d.why, d.grid, container.NewGridWithColumns(2, d.rename, d.remove)))
	d.box = container.NewStack(d.hint, d.full)
	d.none()
	return d
}

func (d *details) object() fyne.CanvasObject { return container.NewPadded(d.box) }

func (d *details) none() {
	d.dev = model.Device{}
	d.full.Hide()
	d.hint.Show()
}

func (d *details) set(dev model.Device) {
	d.dev = dev
	c := d.s.env.Text
	d.name.SetText(text.Clean(dev.Peer.Name))
	d.why.SetText(model.Why(c, dev))
	d.fillGrid(d.lines(dev))
	admin := d.s.view.May && isAdmin(roleIn(d.s.view, dev.Net))
	show(d.rename, admin)
	show(d.remove, admin)
	d.hint.Hide()
	d.full.Show()
}

// lines are label and value in turn; unknown ones are left out.
func (d *details) lines(dev model.Device) (kv []string) {
	c, p := d.s.env.Text, dev.Peer
	add := func(k text.Key, v string) {
		if v != "" {
			kv = append(kv, c.S(k), text.Clean(v))
		}
	}
	add("detail.name", p.FQDN)
	add("detail.network", dev.NetName)
	if p.IPv4 != nil {
		add("detail.ipv4", p.IPv4.String())
	}
	if p.IPv6 != nil {
		add("detail.ipv6", p.IPv6.String())
	}
	add("detail.path", model.Path(c, dev, d.s.env.Now()))
	if p.Endpoint != nil {
		add("detail.endpoint", p.Endpoint.String())
	}
	if p.LastHandshake != nil {
		add("detail.handshake", c.Ago(d.s.env.Now().Sub(*p.LastHandshake)))
	}
	if p.RxBytes != nil && p.TxBytes != nil {
		add("detail.traffic", c.S("detail.bytes", "down", bytesOf(*p.RxBytes), "up", bytesOf(*p.TxBytes)))
	}
	if p.OS != nil {
		add("detail.os", *p.OS)
	}
	add("detail.tags", strings.Join(p.Tags, ", "))
	add("detail.role", model.RoleWord(c, p.Role))
	add("detail.key", p.Key)
	return kv
}

// fillGrid touches only what differs, so that a selection in a value lives.
func (d *details) fillGrid(kv []string) {
	if len(kv) == len(d.drawn) {
		for i := range kv {
			if kv[i] != d.drawn[i] {
				d.grid.Objects[i].(*widget.Label).SetText(kv[i])
			}
		}
		d.drawn = kv
		return
	}
	d.drawn = kv
	d.grid.Objects = nil
	for i, t := range kv {
		l := value(t)
		if i%2 == 0 {
			l = widget.NewLabel(t)
			l.Importance = widget.LowImportance
		}
		d.grid.Objects = append(d.grid.Objects, l)
	}
	d.grid.Refresh()
}

func (d *details) askRename() {
	dev := d.dev
	s := d.s
	entry := newKeyEntry(s.say("rename.new"), nil, s.pass)
	entry.SetText(dev.Peer.Name)
	dlg := dialog.NewCustomWithoutButtons(s.say("rename.title", "device", dev.Peer.Name), entry, s.win)
	var ok *widget.Button
	do := func() {
		ok.Disable()
		var got ipc.DeviceAnswer
		s.slow(func(ctx context.Context) (err error) {
			got, err = s.env.Helper.DeviceRename(ctx, ipc.DeviceRequest{Network: dev.Net, Device: dev.Peer.Key, Name: strings.TrimSpace(entry.Text)})
			return err
		}, func(err error) {
			ok.Enable()
			if err != nil {
				s.failed(err)
				return
			}
			dlg.Hide()
			if got.Pending {
				s.tell("", s.say("rename.pending"))
			}
		})
	}
	ok = widget.NewButton(s.say("button.ok"), do)
	ok.Importance = widget.HighImportance
	entry.OnSubmitted = func(string) { do() }
	dlg.SetButtons([]fyne.CanvasObject{widget.NewButton(s.say("button.cancel"), dlg.Hide), ok})
	dlg.Resize(fyne.NewSize(380, 0))
	dlg.Show()
	s.win.Canvas().Focus(entry)
}

func (d *details) askRemove() {
	dev := d.dev
	s := d.s
	words := s.say("remove.text", "device", dev.Peer.Name, "network", dev.NetName)
	s.confirm(s.say("remove.title", "device", dev.Peer.Name), words, s.say("button.remove"), func() {
		var got ipc.DeviceAnswer
		s.slow(func(ctx context.Context) (err error) {
			got, err = s.env.Helper.DeviceRevoke(ctx, ipc.DeviceRequest{Network: dev.Net, Device: dev.Peer.Key})
			return err
		}, func(err error) {
			s.failed(err)
			if err == nil && len(got.Dropped) > 0 {
				s.tell("", s.say("remove.dropped", "names", strings.Join(got.Dropped, ", ")))
			}
		})
	})
}

// confirm asks before what destroys; Cancel is the default.
func (s *Shell) confirm(title, words, yes string, do func()) {
	dlg := dialog.NewCustomWithoutButtons(title, para(words), s.win)
	act := widget.NewButton(strings.TrimSuffix(yes, "…"), func() { dlg.Hide(); do() })
	act.Importance = widget.DangerImportance
	dlg.SetButtons([]fyne.CanvasObject{widget.NewButton(s.say("button.cancel"), dlg.Hide), act})
	dlg.Resize(fyne.NewSize(440, 0))
	dlg.Show()
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
