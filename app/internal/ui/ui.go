// Package ui is the window: a shell with the state on top and a page for each
// thing. It draws a model.View and asks the helper through a small interface;
// it must not make an app (fyne/v2/app needs a display) and is only used from
// Fyne's goroutine unless a method says otherwise.
package ui

import (
	"context"
	"strings"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/app/internal/tray"
	"kith.internal/assets"
	"kith.internal/ipc"
)

// page is one page of the window.
type page interface {
	object() fyne.CanvasObject
	set(model.View)
	shown() // it came to the front
}

// Shell is the window's content.
type Shell struct {
	env    Env
	win    fyne.Window
	view   model.View
	ctx    context.Context
	cancel context.CancelFunc

	icon    *canvas.Image
	title   *widget.Label
	toggle  *Button
	head    *fyne.Container
	banner  *banner
	toast   *widget.Label
	toasts  int
	nav     map[string]*Button
	pages   map[string]page
	current string
	body    *fyne.Container
	join    *joinDialog // open, or nil
	next    string      // a link to show after it
	near    *nearbyDialog
	modals  []*modal // open, the last on top
	keys    []binding
	asking  bool // the system asks for an administrator's word
	secret  bool // the root phrase is on show
	news    bool // the words of welcome were said, or are not due
}

// pageNames is the order of the navigation.
var pageNames = []string{"devices", "networks", "sharing", "exits", "diagnostics", "settings"}

// New fills a window. Close it with Close.
func New(win fyne.Window, env Env) *Shell {
	s := &Shell{env: env, win: win, nav: map[string]*Button{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.icon = canvas.NewImageFromResource(stateIcon(model.IconConnecting))
	s.icon.FillMode = canvas.ImageFillContain
	s.icon.SetMinSize(fyne.NewSquareSize(26))
	s.title = widget.NewLabelWithStyle("", fyne.TextAlignLeading, fyne.TextStyle{Bold: true})
	s.title.Truncation = fyne.TextTruncateEllipsis
	s.toggle = newButton("", s.toggleAll)
	s.banner = newBanner(s)
	s.toast = widget.NewLabel("")
	s.toast.Importance = widget.LowImportance
	s.pages = map[string]page{
		"devices": newDevices(s), "networks": newNetworks(s), "sharing": newSharing(s), "exits": newExits(s),
		"diagnostics": newDiagnostics(s), "settings": newSettings(s),
	}
	s.body = container.NewStack()
	s.head = container.NewBorder(nil, nil, container.NewPadded(s.icon), s.toggle, s.title)
	side := container.NewVBox()
	for _, n := range pageNames {
		b := newIconButton(s.say(text.Key("page."+n)), navIcon(n), func() { s.Open(n) })
		b.Alignment = widget.ButtonAlignLeading
		s.nav[n] = b
		side.Add(b)
	}
	left := container.NewBorder(nil, s.toast, nil, nil, container.NewPadded(side))
	top := container.NewVBox(container.NewPadded(s.head), widget.NewSeparator(), s.banner.box)
	win.SetContent(container.NewBorder(top, nil, container.NewBorder(nil, nil, nil, widget.NewSeparator(), left), nil, container.NewPadded(s.body)))
	s.shortcuts()
	s.view = model.New("").View(env.Now())
	s.Open("devices")
	s.Set(s.view)
	return s
}

// Close ends what is under way.
func (s *Shell) Close() { s.cancel() }

// Set draws a View.
func (s *Shell) Set(v model.View) {
	before := s.view
	s.view = v
	s.icon.Resource = stateIcon(v.Icon)
	s.icon.Refresh()
	s.title.SetText(s.env.Text.Say(v.Title))
	switch v.Switch {
	case model.SwitchConnect:
		s.toggle.SetText(s.say("tray.connect"))
		s.toggle.Importance = widget.HighImportance
	case model.SwitchDisconnect:
		s.toggle.SetText(s.say("tray.disconnect"))
		s.toggle.Importance = widget.MediumImportance
	}
	s.toggle.Refresh()
	show(s.toggle, v.Switch != model.SwitchNone)
	s.head.Refresh()
	s.banner.set(v)
	// The others are drawn when they come to the front.
	s.pages[s.current].set(v)
	if s.join != nil {
		s.join.set(v, before)
	}
	if s.near != nil {
		s.near.set(v)
	}
	s.welcome()
}

// Open goes to a page; "join", "create" and "share" open their dialog.
func (s *Shell) Open(name string) {
	switch name {
	case "join":
		s.Open("networks")
		s.ShowLink("")
		return
	case "create":
		s.Open("networks")
		s.showCreate()
		return
	case "share":
		s.Open("sharing")
		s.pages["sharing"].(*sharing).offer()
		return
	}
	p, ok := s.pages[name]
	if !ok {
		return
	}
	s.current = name
	s.pages["sharing"].(*sharing).asked = false
	for n, b := range s.nav {
		b.Importance = widget.LowImportance
		if n == name {
			b.Importance = widget.HighImportance
		}
		b.Refresh()
	}
	s.body.Objects = []fyne.CanvasObject{p.object()}
	s.body.Refresh()
	p.set(s.view)
	p.shown()
}

func (s *Shell) toggleAll() {
	up := s.view.Switch == model.SwitchConnect
	s.toggle.Disable()
	s.slow(func(ctx context.Context) (err error) {
		if up {
			_, err = s.env.Helper.Up(ctx, ipc.UpRequest{})
		} else {
			_, err = s.env.Helper.Down(ctx, "")
		}
		return err
	}, func(err error) {
		s.toggle.Enable()
		s.failed(err)
	})
}

// slow runs work elsewhere and done back here, unless the window went.
func (s *Shell) slow(work func(context.Context) error, done func(error)) {
	s.env.Go(func() {
		err := work(s.ctx)
		if s.ctx.Err() != nil {
			return
		}
		s.env.Do(func() { done(err) })
	})
}

func (s *Shell) say(k text.Key, kv ...string) string { return s.env.Text.S(k, kv...) }

// words says an error.
func (s *Shell) words(err error) string { return Words(s.env.Text, err) }

// Words says an error of the helper to a person.
func Words(c *text.Catalogue, err error) string {
	var args map[string]string
	code := ipc.CodeOf(err)
	if e := asIPC(err); e != nil {
		args = e.Args
	}
	return c.Error(string(code), err.Error(), args)
}

// copy puts a text on the clipboard and says so.
func (s *Shell) copy(what string) {
	if what == "" {
		return
	}
	err := s.env.Copy(what)
	switch link := strings.HasPrefix(what, "kith://"); { // a secret, and long: not shown again
	case link && err != nil:
		s.say2s(s.say("copy.none"))
	case link:
		s.say2s(s.say("copied.link"))
	case err != nil:
		s.say2s(s.say("copy.failed", "what", short(what)))
	default:
		s.say2s(s.say("devices.copied", "what", short(what)))
	}
}

// say2s says something for some seconds in the corner.
func (s *Shell) say2s(words string) {
	s.toast.SetText(wrap(words, 20))
	s.toasts++
	n := s.toasts
	time.AfterFunc(3*time.Second, func() {
		if s.ctx.Err() != nil {
			return
		}
		s.env.Do(func() {
			if s.toasts == n {
				s.toast.SetText("")
			}
		})
	})
}

func stateIcon(i model.Icon) fyne.Resource {
	return themed(tray.IconName(i))
}

// themed is a shape that takes the theme's ink.
func themed(name string) fyne.Resource {
	return theme.NewThemedResource(fyne.NewStaticResource(name+".svg", assets.SVG(name)))
}

func navIcon(n string) fyne.Resource {
	switch n {
	case "devices":
		return theme.ComputerIcon()
	case "networks":
		return theme.GridIcon()
	case "sharing":
		return theme.AccountIcon()
	case "exits":
		return themed("exit")
	case "diagnostics":
		return theme.InfoIcon()
	}
	return theme.SettingsIcon()
}

func show(o fyne.CanvasObject, yes bool) {
	if yes {
		o.Show()
	} else {
		o.Hide()
	}
}
