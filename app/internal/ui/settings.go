package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
)

// section is one part of Settings.
type section interface {
	object() fyne.CanvasObject
	set(model.View)
	shown()
}

// sectionNames is their order.
var sectionNames = []string{"app", "device", "routes", "names", "rules", "users"}

// settings is the page of all that can be set, in sections; what belongs to a
// network asks which, where there are several.
type settings struct {
	s       *Shell
	box     *fyne.Container
	tabs    map[string]*Button
	network *choice
	body    *fyne.Container
	parts   map[string]section
	current string
	net     string // network ID that the sections are about
	nets    []string
	quiet   bool
}

func newSettings(s *Shell) *settings {
	p := &settings{s: s, body: container.NewStack(), tabs: map[string]*Button{}}
	p.parts = map[string]section{
		"app": newAppSection(s), "device": newDeviceSection(s, p), "routes": newRoutesSection(s, p),
		"names": newNamesSection(s, p), "rules": newRulesSection(s, p), "users": newUsersSection(s),
	}
	row := container.NewHBox()
	for _, n := range sectionNames {
		p.tabs[n] = newButton(s.say(text.Key("section."+n)), func() { p.open(n) })
		row.Add(p.tabs[n])
	}
	p.network = newChoice(nil, func(string) {
		if i := p.network.SelectedIndex(); !p.quiet && i >= 0 && i < len(p.nets) {
			p.net = p.nets[i]
			p.parts[p.current].set(s.view)
			p.parts[p.current].shown()
		}
	})
	p.box = container.NewBorder(container.NewVBox(row, p.network, widget.NewSeparator()), nil, nil, nil, p.body)
	p.open(sectionNames[0])
	return p
}

// openSettings goes to a section of Settings.
func (s *Shell) openSettings(part string) {
	s.Open("settings")
	s.pages["settings"].(*settings).open(part)
}

func (p *settings) open(name string) {
	p.current = name
	for n, b := range p.tabs {
		b.Importance = widget.LowImportance
		if n == name {
			b.Importance = widget.HighImportance
		}
		b.Refresh()
	}
	p.body.Objects = []fyne.CanvasObject{p.parts[name].object()}
	p.body.Refresh()
	p.set(p.s.view)
	p.parts[name].shown()
}

func (p *settings) object() fyne.CanvasObject { return p.box }

func (p *settings) shown() { p.parts[p.current].shown() }

func (p *settings) set(v model.View) {
	var names, ids []string
	at := -1
	for _, n := range v.Nets {
		if n.Removed {
			continue
		}
		if n.ID == p.net {
			at = len(ids)
		}
		names, ids = append(names, text.Clean(n.Name)), append(ids, n.ID)
	}
	if at < 0 && v.Known { // while the service is away, the choice stays
		p.net = ""
		if len(ids) > 0 {
			at, p.net = 0, ids[0]
		}
	}
	p.nets = ids
	p.quiet = true
	p.network.SetOptions(names)
	if at >= 0 {
		p.network.SetSelectedIndex(at)
	}
	p.quiet = false
	show(p.network, len(ids) > 1 && p.current != "app" && p.current != "users")
	p.parts[p.current].set(v)
}

// chosen is the network that the sections are about; false where there is none.
func (p *settings) chosen() (model.Net, bool) {
	for _, n := range p.s.view.Nets {
		if n.ID == p.net && p.net != "" {
			return n, true
		}
	}
	return model.Net{}, false
}

// none says why there is no network to set anything of.
func (p *settings) none() string {
	if !p.s.view.Known {
		return p.s.say("page.unknown")
	}
	return p.s.say("settings.nonetwork")
}

// appSection is about this program.
type appSection struct {
	s       *Shell
	box     fyne.CanvasObject
	login   *Check
	quit    *widget.RadioGroup
	version *widget.Label
	down    *Button
}

func newAppSection(s *Shell) *appSection {
	p := &appSection{s: s, version: faint("")}
	p.login = newCheck(s.say("settings.login"), nil)
	p.login.OnChanged = func(on bool) {
		if on == s.env.Autostart() {
			return
		}
		if err := s.env.SetAutostart(on); err != nil {
			s.tell("", s.say("settings.failed", "why", err.Error()))
			p.login.SetChecked(s.env.Autostart())
		}
	}
	p.quit = widget.NewRadioGroup([]string{s.say("settings.stay"), s.say("settings.leave")}, nil)
	p.quit.Required = true
	p.quit.SetSelected(p.quitWords())
	p.quit.OnChanged = func(string) {
		prefs := s.env.Prefs()
		down := p.quit.Selected == s.say("settings.leave")
		if prefs.QuitDown == down {
			return
		}
		prefs.QuitDown = down
		if err := s.env.SetPrefs(prefs); err != nil {
			s.tell("", s.say("settings.failed", "why", err.Error()))
			p.quit.SetSelected(p.quitWords())
		}
	}
	quit := newButton(s.say("settings.quit"), func() { s.env.Quit(false) })
	p.down = newButton(s.say("settings.quitoff"), func() { s.env.Quit(true) })
	rows := container.NewVBox()
	if !s.env.Tray {
		rows.Add(para(s.say("problem.notray")))
	}
	for _, o := range []fyne.CanvasObject{
		p.login, bold(s.say("settings.onquit", "mod", modifier)), p.quit, container.NewHBox(quit, p.down),
		widget.NewSeparator(), faint(s.say("settings.keys", "mod", modifier)), p.version,
	} {
		rows.Add(o)
	}
	p.box = scrolled(rows)
	return p
}

func (p *appSection) quitWords() string {
	if p.s.env.Prefs().QuitDown {
		return p.s.say("settings.leave")
	}
	return p.s.say("settings.stay")
}

func (p *appSection) object() fyne.CanvasObject { return p.box }

func (p *appSection) shown() { p.login.SetChecked(p.s.env.Autostart()) }

func (p *appSection) set(v model.View) {
	service := v.Service
	if service == "" {
		service = "?"
	}
	p.version.SetText(p.s.say("settings.version", "app", v.App, "service", service))
	show(p.down, v.Switch == model.SwitchDisconnect)
}
