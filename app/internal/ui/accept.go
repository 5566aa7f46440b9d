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

// chooseOwn asks which of several networks of one's own takes a share.
func (j *joinDialog) chooseOwn(grid *fyne.Container) {
	j.mine = nil
	var names []string
	for _, n := range j.s.view.Nets {
		if isAdmin(n.Role) && !n.Removed {
			j.mine = append(j.mine, n)
			names = append(names, text.Clean(n.Name))
		}
	}
	if len(names) < 2 {
		return
	}
	j.into = newChoice(names, nil)
	j.into.SetSelectedIndex(0)
	grid.Add(widget.NewLabel(j.s.say("share.into")))
	grid.Add(j.into)
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
	req := ipc.ShareAcceptRequest{Link: link, Label: label}
	if len(j.mine) > 0 {
		req.Network = j.mine[0].ID
	}
	if j.into != nil {
		req.Network = j.mine[j.into.SelectedIndex()].ID
	}
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
