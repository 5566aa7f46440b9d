package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
)

// settings is the page of what little there is to set.
type settings struct {
	s       *Shell
	box     *fyne.Container
	login   *widget.Check
	version *widget.Label
	down    *widget.Button
}

func newSettings(s *Shell) *settings {
	p := &settings{s: s}
	p.login = widget.NewCheck(s.say("settings.login"), nil)
	p.login.OnChanged = func(on bool) {
		if on == s.env.Autostart() {
			return
		}
		if err := s.env.SetAutostart(on); err != nil {
			s.tell("", s.say("settings.failed", "why", err.Error()))
			p.login.SetChecked(s.env.Autostart())
		}
	}
	p.version = para("")
	p.version.Importance = widget.LowImportance
	keys := para(s.say("settings.keys", "mod", modifier))
	keys.Importance = widget.LowImportance
	quit := widget.NewButton(s.say("settings.quit"), func() { s.env.Quit(false) })
	p.down = widget.NewButton(s.say("settings.quitoff"), func() { s.env.Quit(true) })
	rows := container.NewVBox(p.login, container.NewHBox(quit, p.down), widget.NewSeparator(), keys, p.version)
	if !s.env.Tray {
		rows.Objects = append([]fyne.CanvasObject{para(s.say("problem.notray"))}, rows.Objects...)
	}
	p.box = container.NewVBox(rows)
	return p
}

func (p *settings) object() fyne.CanvasObject { return p.box }

func (p *settings) shown() { p.login.SetChecked(p.s.env.Autostart()) }

func (p *settings) set(v model.View) {
	service := v.Service
	if service == "" {
		service = "?"
	}
	p.version.SetText(p.s.say("settings.version", "app", v.App, "service", service))
	show(p.down, v.Switch == model.SwitchDisconnect)
}
