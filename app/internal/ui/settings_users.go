package ui

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// usersSection is who may change the VPN on this machine.
type usersSection struct {
	s     *Shell
	box   fyne.CanvasObject
	list  *fyne.Container
	entry *keyEntry
	add   *Button
	allow *Button
	bad   *widget.Label
	of    [2]bool // Known and Machine of the View that the list is of
}

func newUsersSection(s *Shell) *usersSection {
	u := &usersSection{s: s, list: container.NewVBox(), bad: danger()}
	u.entry = newKeyEntry(s.say("users.ph"), nil, s.pass)
	u.entry.OnSubmitted = func(string) {
		u.entry.SetText(strings.TrimSpace(u.entry.Text))
		u.do(s.env.Helper.OperatorAdd, u.entry.Text)
	}
	u.add = newButton(s.say("users.add"), func() { u.entry.OnSubmitted("") })
	u.allow = newButton(s.say("action.allow"), s.allow)
	top := container.NewVBox(faint(s.say("users.hint")), container.NewBorder(nil, nil, nil, u.add, u.entry), u.allow, u.bad)
	u.box = container.NewBorder(top, nil, nil, nil, scrolled(u.list))
	return u
}

func (u *usersSection) object() fyne.CanvasObject { return u.box }

func (u *usersSection) set(v model.View) {
	enable(u.add, v.Machine)
	enable(u.entry, v.Machine)
	show(u.allow, v.Known && !v.May)
	if now := [2]bool{v.Known, v.Machine}; now != u.of {
		u.of = now
		u.shown()
	}
}

func (u *usersSection) shown() {
	if v := u.s.view; !v.Machine {
		words := u.s.say("users.machine")
		if !v.Known {
			words = u.s.say("page.unknown")
		}
		say(u.bad, "")
		u.list.RemoveAll()
		u.list.Add(faint(words))
		return
	}
	u.do(func(ctx context.Context, _ string) (ipc.OperatorList, error) { return u.s.env.Helper.OperatorList(ctx) }, "?")
}

// do changes or fetches the list and draws it.
func (u *usersSection) do(call func(context.Context, string) (ipc.OperatorList, error), user string) {
	if user == "" {
		return
	}
	var got ipc.OperatorList
	u.s.slow(func(ctx context.Context) (err error) {
		got, err = call(ctx, user)
		return err
	}, func(err error) {
		if err != nil {
			say(u.bad, u.s.words(err))
			return
		}
		say(u.bad, "")
		if u.entry.Text == user { // not what was begun meanwhile
			u.entry.SetText("")
		}
		u.list.RemoveAll()
		for _, o := range got.Operators {
			away := newButton(u.s.say("users.remove"), func() { u.do(u.s.env.Helper.OperatorRemove, o) })
			enable(away, u.s.view.Machine)
			u.list.Add(container.NewBorder(nil, nil, nil, away, bold(o)))
		}
		if len(got.Operators) == 0 {
			u.list.Add(faint(u.s.say("users.none")))
		}
	})
}
