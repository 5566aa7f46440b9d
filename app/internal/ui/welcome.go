package ui

import (
	"slices"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
)

// welcome says once, when this device is in its first network, where Kith
// lives from now on, and offers to start it at login.
func (s *Shell) welcome() {
	if s.news || !s.view.Known || len(s.win.Canvas().Overlays().List()) > 0 {
		return
	}
	p := s.env.Prefs()
	if p.Welcomed {
		s.news = true
		return
	}
	at := slices.IndexFunc(s.view.Nets, func(n model.Net) bool { return !n.Removed })
	if at < 0 {
		return
	}
	s.news = true
	words := s.say("welcome.tray")
	if !s.env.Tray {
		words = s.say("problem.notray")
	}
	login := newCheck(s.say("settings.login"), nil)
	login.SetChecked(s.env.Autostart())
	d := s.modal(s.say("welcome.title", "network", brief(s.view.Nets[at].Name)), container.NewVBox(para(words), login))
	ok := newButton(s.say("button.ok"), func() {
		d.Hide()
		if login.Checked != s.env.Autostart() {
			if err := s.env.SetAutostart(login.Checked); err != nil {
				s.tell("", s.say("settings.failed", "why", err.Error()))
			}
		}
	})
	d.SetOnClosed(func() {
		p := s.env.Prefs()
		p.Welcomed = true
		if err := s.env.SetPrefs(p); err != nil {
			s.say2s(s.say("settings.failed", "why", err.Error()))
		}
	})
	ok.Importance = widget.HighImportance
	d.SetButtons([]fyne.CanvasObject{ok})
	d.Resize(fyne.NewSize(460, 0))
	d.show(ok)
}
