package ui

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/storage"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/app/internal/qrscan"
	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// ownNet is a network of one's own that can take a share.
type ownNet struct{ id, name string }

func ownNets(v model.View) (list []ownNet) {
	for _, n := range v.Nets {
		if isAdmin(n.Role) && !n.Removed {
			list = append(list, ownNet{n.ID, text.Clean(n.Name)})
		}
	}
	return list
}

// chooseOwn asks which of several networks of one's own takes a share.
func (j *joinDialog) chooseOwn(grid *fyne.Container) {
	chosen := j.chosen()
	j.mine, j.into = ownNets(j.s.view), nil
	if len(j.mine) < 2 {
		return
	}
	var names []string
	at := 0
	for i, n := range j.mine {
		names = append(names, n.name)
		if n.id == chosen {
			at = i
		}
	}
	j.into = newChoice(names, nil)
	j.into.SetSelectedIndex(at)
	grid.Add(widget.NewLabel(j.s.say("share.into")))
	grid.Add(j.into)
}

// chosen is the ID of the network that takes the share; none without one.
func (j *joinDialog) chosen() string {
	switch {
	case len(j.mine) == 0:
		return ""
	case j.into == nil:
		return j.mine[0].id
	}
	return j.mine[j.into.SelectedIndex()].id
}

// shareOpens names the devices that a share leads to.
func (s *Shell) shareOpens(p ipc.Preview) string {
	words := clean(strings.Join(p.Reach, ", "))
	if p.More > 0 {
		words = s.say("share.more", "names", words, "n", text.Number(p.More))
	}
	return words
}

// shareEnds says how long a share lasts once it is accepted.
func (s *Shell) shareEnds(p ipc.Preview) string {
	words := s.say("share.forever")
	if p.Ends != nil {
		words = s.env.Text.When(*p.Ends, s.env.Now())
	}
	if p.Confirm {
		words += "\n" + s.say("share.confirms")
	}
	return words
}

// accept takes a share.
func (j *joinDialog) accept(link, label string) {
	s := j.s
	req := ipc.ShareAcceptRequest{Link: link, Label: label, Network: j.chosen()}
	var got ipc.ShareAnswer
	s.slow(func(ctx context.Context) (err error) {
		got, err = s.env.Helper.ShareAccept(ctx, req)
		return err
	}, func(err error) {
		j.done(err, func() {
			s.Open("sharing")
			if len(got.Share.Words) > 0 {
				s.tell(s.say("share.accept.title"), s.say("share.wait", "words", strings.Join(got.Share.Words, "  ")))
				return
			}
			s.tell(s.say("share.accept.title"), s.say("share.accepted", "fqdn", model.ShareName(got.Share)))
		})
	})
}

// pickImage reads a link from a picture of a QR code.
func (j *joinDialog) pickImage() {
	s := j.s
	d := dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
		switch {
		case err != nil:
			j.fail(s.say("scan.failed"))
		case r != nil:
			s.slow(func(context.Context) error {
				defer r.Close()
				link, err := qrscan.Read(r)
				if err == nil {
					s.env.Do(func() { j.link.SetText(link) })
				}
				return err
			}, func(err error) {
				if err != nil {
					j.fail(s.say("scan.failed"))
				}
			})
		}
	}, s.win)
	d.SetFilter(storage.NewExtensionFileFilter([]string{".png", ".jpg", ".jpeg", ".gif"}))
	d.Show()
}
