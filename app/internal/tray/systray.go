package tray

import (
	"reflect"
	"sync"

	"fyne.io/systray"
)

// Tray is the icon and its menu. Use it from any goroutine.
type Tray struct {
	do   func(Command)
	gone chan struct{} // closed when Run ends

	mu    sync.Mutex
	look  Look
	items []*item
	shown bool
	ended bool // nothing is shown any more
}

// item is one row on show.
type item struct {
	row Row
	sys *systray.MenuItem
	sub []*item
}

// Run shows the tray until Stop; it needs the main goroutine. ready gets the
// tray once there is one; do is called for each click and must be quick.
func Run(ready func(*Tray), do func(Command), exit func()) {
	t := &Tray{do: do, gone: make(chan struct{})}
	defer close(t.gone)
	systray.SetOnTapped(func() { do(Command{Verb: Open}) })
	name()
	systray.Run(func() { ready(t) }, exit)
}

// Stop ends Run. A Show that comes later does nothing.
func (t *Tray) Stop() {
	t.mu.Lock()
	t.ended = true
	t.mu.Unlock()
	systray.Quit()
}

// Show draws a look. Only what differs is touched: a menu that is open stays
// open while its words change, and is built anew where its shape does.
func (t *Tray) Show(l Look) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended || t.shown && reflect.DeepEqual(l, t.look) {
		return
	}
	// The library panics where the session's bus has gone, as at a logout.
	defer func() { t.ended = t.ended || recover() != nil }()
	if !t.shown || l.State != t.look.State {
		setIcon(l.State)
	}
	if !t.shown || l.Tooltip != t.look.Tooltip {
		systray.SetTooltip(l.Tooltip)
	}
	switch {
	case t.shown && sameShape(t.look.Rows, l.Rows):
		update(t.items, l.Rows)
	default:
		if t.shown {
			systray.ResetMenu()
		}
		t.items = t.build(nil, l.Rows)
	}
	t.look, t.shown = l, true
}

// sameShape tells whether b can be shown by changing words of a. A row that would
// do something else is another one: a click is on what a person saw.
func sameShape(a, b []Row) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Separator != b[i].Separator || a[i].Checkable != b[i].Checkable || !sameTarget(a[i].Command, b[i].Command) || !sameShape(a[i].Sub, b[i].Sub) {
			return false
		}
	}
	return true
}

// sameTarget tells whether two commands are about the same thing.
func sameTarget(a, b Command) bool {
	return a.Verb == b.Verb && a.Arg == b.Arg && a.Net == b.Net && a.Action == b.Action
}

func update(items []*item, rows []Row) {
	for i, it := range items {
		old, now := it.row, rows[i]
		it.row = now
		if it.sys == nil {
			continue
		}
		if old.Label != now.Label {
			it.sys.SetTitle(escape(now.Label))
		}
		if old.Checked != now.Checked {
			if now.Checked {
				it.sys.Check()
			} else {
				it.sys.Uncheck()
			}
		}
		if old.Disabled != now.Disabled {
			if now.Disabled {
				it.sys.Disable()
			} else {
				it.sys.Enable()
			}
		}
		update(it.sub, now.Sub)
	}
}

func (t *Tray) build(parent *systray.MenuItem, rows []Row) []*item {
	items := make([]*item, 0, len(rows))
	for _, r := range rows {
		it := &item{row: r}
		items = append(items, it)
		if r.Separator {
			if parent == nil {
				systray.AddSeparator()
			} else {
				parent.AddSeparator()
			}
			continue
		}
		it.sys = add(parent, r)
		if r.Disabled {
			it.sys.Disable()
		}
		it.sub = t.build(it.sys, r.Sub)
		go t.clicks(it)
	}
	return items
}

func add(parent *systray.MenuItem, r Row) *systray.MenuItem {
	label := escape(r.Label)
	switch {
	case parent == nil && r.Checkable:
		return systray.AddMenuItemCheckbox(label, "", r.Checked)
	case parent == nil:
		return systray.AddMenuItem(label, "")
	case r.Checkable:
		return parent.AddSubMenuItemCheckbox(label, "", r.Checked)
	}
	return parent.AddSubMenuItem(label, "")
}

// clicks passes an item's clicks on until the item is removed, or the tray is.
func (t *Tray) clicks(it *item) {
	for {
		select {
		case _, ok := <-it.sys.ClickedCh:
			if !ok {
				return
			}
		case <-t.gone:
			return
		}
		t.mu.Lock()
		r := it.row
		t.mu.Unlock()
		if r.Command.Verb != Nothing && !r.Disabled {
			t.do(r.Command)
		}
	}
}
