package ui

import (
	"context"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/theme"
	"fyne.io/fyne/v2/widget"

	"kith.internal/app/internal/model"
	"kith.internal/ipc"
)

// recordTypes are the kinds of records; "" leaves it to the value.
var recordTypes = []string{"", "A", "AAAA", "CNAME", "TXT", "SRV", "MX", "DEVICE", "NS"}

// namesSection is a network's own DNS records.
type namesSection struct {
	s     *Shell
	p     *settings
	box   fyne.CanvasObject
	name  *keyEntry
	kind  *choice
	value *keyEntry
	add   *Button
	bad   *widget.Label
	list  *fyne.Container
	of    string // network ID
	known bool   // the service has told its state
	may   bool   // what is on show can be changed
	drawn []ipc.DNSRecords
}

func newNamesSection(s *Shell, p *settings) *namesSection {
	n := &namesSection{s: s, p: p, bad: danger(), list: container.NewVBox()}
	n.name = newKeyEntry(s.say("names.name.ph"), nil, s.pass)
	n.value = newKeyEntry(s.say("names.value.ph"), nil, s.pass)
	n.value.OnSubmitted = func(string) { n.put() }
	kinds := append([]string{s.say("names.auto")}, recordTypes[1:]...)
	n.kind = newChoice(kinds, nil)
	n.kind.SetSelectedIndex(0)
	n.add = newButton(s.say("names.add"), n.put)
	form := container.NewBorder(nil, nil, nil, container.NewHBox(n.kind, n.add), container.NewGridWithColumns(2, n.name, n.value))
	n.box = container.NewBorder(container.NewVBox(faint(s.say("names.hint")), form, n.bad), nil, nil, nil, scrolled(n.list))
	return n
}

func (n *namesSection) object() fyne.CanvasObject { return n.box }

func (n *namesSection) shown() { n.load() }

func (n *namesSection) set(v model.View) {
	net, ok := n.p.chosen()
	may := ok && v.May && isAdmin(net.Role)
	enable(n.add, may)
	switch {
	case n.of != net.ID, n.known != v.Known:
		n.known, n.may = v.Known, may
		n.load()
	case n.may != may:
		n.may = may
		n.draw(n.drawn)
	}
}

func (n *namesSection) load() {
	net, ok := n.p.chosen()
	if n.of != net.ID || !ok { // rows of another network
		n.of, n.drawn = net.ID, nil
		n.list.RemoveAll()
		say(n.bad, "")
	}
	if !ok {
		n.list.Add(faint(n.p.none()))
		return
	}
	n.call(func(ctx context.Context) (ipc.DNSRecordsAnswer, error) { return n.s.env.Helper.DNSList(ctx, net.ID) }, nil)
}

// call does something about the records and draws what they are then.
func (n *namesSection) call(do func(context.Context) (ipc.DNSRecordsAnswer, error), done func()) {
	var got ipc.DNSRecordsAnswer
	of := n.of
	n.s.slow(func(ctx context.Context) (err error) {
		if got, err = do(ctx); err == nil && done != nil {
			got, err = n.s.env.Helper.DNSList(ctx, of) // all of them again
		}
		return err
	}, func(err error) {
		switch {
		case n.of != of:
		case err != nil:
			say(n.bad, n.s.words(err))
		default:
			say(n.bad, "")
			n.draw(got.Records)
			if done != nil {
				done()
			}
		}
	})
}

func (n *namesSection) put() {
	if n.add.Disabled() {
		return
	}
	name, value := strings.TrimSpace(n.name.Text), strings.TrimSpace(n.value.Text)
	if name == "" || value == "" {
		say(n.bad, n.s.say("names.missing"))
		return
	}
	req := ipc.DNSRecordsRequest{Network: n.of, Name: name, Type: recordTypes[max(n.kind.SelectedIndex(), 0)], Values: []string{value}}
	n.call(func(ctx context.Context) (ipc.DNSRecordsAnswer, error) { return n.s.env.Helper.DNSAdd(ctx, req) }, func() {
		n.name.SetText("")
		n.value.SetText("")
	})
}

func (n *namesSection) draw(list []ipc.DNSRecords) {
	n.drawn = list
	n.list.RemoveAll()
	for _, r := range list {
		away := newIconButton(n.s.say("names.remove"), theme.DeleteIcon(), func() {
			req := ipc.DNSRecordsRequest{Network: n.of, Name: r.Name, Type: r.Type, Values: []string{}}
			n.call(func(ctx context.Context) (ipc.DNSRecordsAnswer, error) { return n.s.env.Helper.DNSRemove(ctx, req) }, func() {})
		})
		enable(away, n.may)
		body := container.NewVBox(container.New(columns{0.45, 90, 0.55}, bold(r.Name), cellText(r.Type), cellText(strings.Join(r.Values, ", "))))
		if r.Why != nil {
			why := danger()
			say(why, clean(*r.Why))
			body.Add(why)
		}
		n.list.Add(container.NewBorder(nil, nil, nil, container.NewCenter(away), body))
	}
	if len(list) == 0 {
		n.list.Add(faint(n.s.say("names.none")))
	}
}
