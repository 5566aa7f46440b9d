package ui

import (
	"context"
	"errors"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"

	"kith.internal/app/internal/desktop"
	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// changes lists the actions that only who may act is offered.
var changes = map[model.Action]bool{
	model.ActJoin: true, model.ActExitOff: true, model.ActRepair: true, model.ActRenew: true, model.ActPhrase: true, model.ActSignIn: true, model.ActSignInDone: true,
}

// act does what a problem's button says.
func (s *Shell) act(p model.Problem, a model.Action) {
	switch a {
	case model.ActStart:
		s.slow(s.env.Start, func(err error) {
			if err != nil {
				s.tell(s.say("action.start"), s.startWords(err))
			}
		})
	case model.ActRestart:
		s.env.Restart()
	case model.ActAllow:
		s.allow()
	case model.ActPhrase:
		s.showHeldPhrase(p.Network)
	case model.ActJoin:
		s.ShowLink("")
	case model.ActExitOff:
		s.exitOff(s.view.Exit.Net)
	case model.ActExits:
		s.Open("exits")
	case model.ActRepair:
		s.repair()
	case model.ActRenew:
		s.renew(p.Network)
	case model.ActSignIn:
		s.signIn(true)
	case model.ActSignInDone:
		s.signIn(false)
	case model.ActRoutes:
		s.openSettings("routes")
	case model.ActNearby:
		s.Open("networks")
	case model.ActShares:
		s.Open("sharing")
	default:
		s.Open("diagnostics")
	}
}

// repair sets this machine's names up anew; connections stay.
func (s *Shell) repair() {
	s.slow(func(ctx context.Context) error {
		_, err := s.env.Helper.DNSRepair(ctx)
		return err
	}, func(err error) {
		s.failed(err)
		if err == nil {
			s.say2s(s.say("repair.done"))
		}
	})
}

// signIn lets the sign-in page of the network here through, or no longer.
func (s *Shell) signIn(open bool) {
	s.slow(func(ctx context.Context) error {
		_, err := s.env.Helper.Portal(ctx, ipc.PortalRequest{Open: open})
		return err
	}, s.failed)
}

// renew asks an admin for a longer stay.
func (s *Shell) renew(network string) {
	var got ipc.DeviceAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.DeviceRenew(ctx, ipc.DeviceRequest{Network: network})
		return err
	}, func(err error) {
		switch {
		case err != nil:
			s.failed(err)
		case got.Pending:
			s.tell("", s.say("renew.pending"))
		default:
			s.say2s(s.say("renew.done"))
		}
	})
}

// allow has the system ask for an administrator's word, which makes this
// account an operator and does nothing else.
func (s *Shell) allow() {
	switch {
	case s.asking: // one question at a time
		return
	case s.env.Allow == nil:
		s.showAllow()
		return
	}
	s.asking = true
	s.slow(s.env.Allow, func(err error) {
		s.asking = false
		switch {
		case err == nil:
			s.say2s(s.say("allow.done"))
		case errors.Is(err, desktop.ErrDeclined):
			s.say2s(s.say("allow.declined"))
		case errors.Is(err, context.Canceled):
		case errors.Is(err, desktop.ErrRefused):
			s.tell(s.say("allow.title"), s.say("allow.refused"))
		case errors.Is(err, desktop.ErrNoAsking):
			s.showAllow()
		default:
			s.tell(s.say("allow.title"), s.say("allow.failed", "why", err.Error()))
		}
	})
}

// showAllow shows the command, where the system cannot ask.
func (s *Shell) showAllow() {
	user := s.env.User
	if user == "" {
		user = "USER"
	}
	command := "sudo kith operator add " + user
	line := newKeyEntry("", nil, s.pass)
	line.SetText(command)
	d := s.modal(s.say("allow.title"), container.NewVBox(para(s.say("allow.text")), line))
	copyIt := newIconButton(s.say("button.copy"), theme.ContentCopyIcon(), func() { s.copy(command) })
	d.SetButtons([]fyne.CanvasObject{copyIt, newButton(s.say("button.close"), d.Hide)})
	d.Resize(fyne.NewSize(460, 0))
	d.show(copyIt)
}

// find gives the search of the page in front the focus, else that of Devices.
func (s *Shell) find() {
	if e, ok := s.pages[s.current].(*exits); ok {
		s.win.Canvas().Focus(e.search)
		return
	}
	s.Open("devices")
}
