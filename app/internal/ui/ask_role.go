package ui

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

var roles = []ipc.Role{ipc.RoleOwner, ipc.RoleAdmin, ipc.RoleSponsor, ipc.RolePlain}

// roleForm is what a device is and may do, as the person wants it.
type roleForm struct {
	s      *Shell
	dev    model.Device
	roles  *choice
	means  *widget.Label
	phrase *keyEntry
	tags   *keyEntry
}

// askRole changes a device's role and tags.
func (s *Shell) askRole(dev model.Device) {
	f := &roleForm{s: s, dev: dev, means: faint(""), tags: newKeyEntry(s.say("roles.tags"), nil, s.pass)}
	f.phrase = newKeyEntry(s.say("roles.phrase"), nil, s.pass)
	f.phrase.Password = true
	f.tags.SetText(strings.Join(dev.Peer.Tags, ", "))
	var names []string
	for _, r := range roles {
		names = append(names, model.RoleWord(s.env.Text, r))
	}
	f.roles = newChoice(names, func(string) { f.explain() })
	f.roles.SetSelected(model.RoleWord(s.env.Text, dev.Peer.Role))
	f.explain()
	content := container.NewVBox(head(s.say("detail.role")), f.roles, f.means, f.phrase, head(s.say("detail.tags")), f.tags)
	dlg := s.modal(s.say("roles.title", "device", brief(dev.Peer.Name)), content)
	var ok *Button
	do := func() {
		if ok.Disabled() {
			return
		}
		ok.Disable()
		var got ipc.RoleAnswer
		role, phrase, add, remove := f.role(), strings.Join(strings.Fields(strings.ToLower(f.phrase.Text)), " "), minus(f.tagList(), dev.Peer.Tags), minus(dev.Peer.Tags, f.tagList())
		if !f.needsPhrase() {
			phrase = ""
		}
		s.slow(func(ctx context.Context) (err error) {
			if len(add)+len(remove) > 0 {
				_, err = s.env.Helper.DeviceTag(ctx, ipc.TagRequest{Network: dev.Net, Device: dev.Peer.Key, Add: add, Remove: remove})
			}
			if err == nil && role != dev.Peer.Role {
				got, err = s.env.Helper.DeviceRole(ctx, ipc.RoleRequest{Network: dev.Net, Device: dev.Peer.Key, Role: role, Phrase: phrase})
			}
			return err
		}, func(err error) {
			ok.Enable()
			if err != nil {
				s.failed(err)
				return
			}
			f.phrase.SetText("")
			dlg.Hide()
			if len(got.Dropped) > 0 {
				s.tell("", s.say("remove.dropped", "names", strings.Join(got.Dropped, ", ")))
			}
		})
	}
	ok = newButton(s.say("button.ok"), do)
	ok.Importance = widget.HighImportance
	f.tags.OnSubmitted = func(string) { do() }
	dlg.SetButtons([]fyne.CanvasObject{newButton(s.say("button.cancel"), dlg.Hide), ok})
	dlg.Resize(fyne.NewSize(460, 0))
	dlg.show(f.roles)
}

// role is the one that is chosen.
func (f *roleForm) role() ipc.Role {
	for _, r := range roles {
		if f.roles.Selected == model.RoleWord(f.s.env.Text, r) {
			return r
		}
	}
	return f.dev.Peer.Role
}

func (f *roleForm) needsPhrase() bool {
	r := f.role()
	return r != f.dev.Peer.Role && (r == ipc.RoleOwner || f.dev.Peer.Role == ipc.RoleOwner)
}

// explain says what the chosen role lets the device do.
func (f *roleForm) explain() {
	f.means.SetText(f.s.say(text.Key("role.may." + string(f.role()))))
	show(f.phrase, f.needsPhrase())
}

func (f *roleForm) tagList() []string {
	return strings.FieldsFunc(strings.ToLower(f.tags.Text), func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// minus is what of a is not in b; never nil, as the helper's lists are.
func minus(a, b []string) []string {
	out := []string{}
	for _, s := range a {
		if !slices.Contains(b, s) {
			out = append(out, s)
		}
	}
	return out
}
