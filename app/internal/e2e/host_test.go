//go:build gui

package e2e

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

const (
	watcherName = "org.kde.StatusNotifierWatcher"
	watcherPath = "/StatusNotifierWatcher"
	itemName    = "org.kde.StatusNotifierItem"
	menuName    = "com.canonical.dbusmenu"
	noteName    = "org.freedesktop.Notifications"
)

// host is a panel and a notification service.
type host struct {
	conn *dbus.Conn

	mu    sync.Mutex
	items []string // bus names with their paths
	notes []string // "title: body"
}

func newHost(t *testing.T, bus string) *host {
	t.Helper()
	conn, err := dbus.Connect(bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	h := &host{conn: conn}
	if err := conn.Export((*notes)(h), "/org/freedesktop/Notifications", noteName); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(noteName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return h
}

// appear makes the panel come.
func (h *host) appear(t *testing.T) {
	t.Helper()
	if err := h.conn.Export((*watcher)(h), watcherPath, watcherName); err != nil {
		t.Fatal(err)
	}
	_, err := prop.Export(h.conn, watcherPath, prop.Map{watcherName: {
		"IsStatusNotifierHostRegistered": {Value: true, Emit: prop.EmitTrue},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.conn.RequestName(watcherName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
}

type watcher host

// RegisterStatusNotifierItem is the watcher's one method that items call.
func (w *watcher) RegisterStatusNotifierItem(sender dbus.Sender, service string) *dbus.Error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.items = append(w.items, string(sender)+service)
	return nil
}

type notes host

// Notify is org.freedesktop.Notifications.Notify.
func (n *notes) Notify(_ string, replaces uint32, _, title, body string, _ []string, _ map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, title+": "+body)
	if replaces != 0 {
		return replaces, nil
	}
	return uint32(len(n.notes)), nil
}

func (h *host) noted(part string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(strings.Join(h.notes, "\n"), part)
}

func (h *host) item() (dbus.BusObject, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.items) == 0 {
		return nil, ""
	}
	last := h.items[len(h.items)-1]
	name, path, _ := strings.Cut(last, "/")
	return h.conn.Object(name, dbus.ObjectPath("/"+path)), name
}

// pixmap is an icon as the panel gets it.
type pixmap struct {
	W, H int32
	Data []byte
}

func (h *host) icon() (p pixmap) {
	o, _ := h.item()
	if o == nil {
		return p
	}
	v, err := o.GetProperty(itemName + ".IconPixmap")
	if err != nil {
		return p
	}
	var list []pixmap
	if dbus.Store([]any{v.Value()}, &list) != nil || len(list) == 0 {
		return p
	}
	return list[0]
}

// row is one row of the menu as the panel gets it.
type row struct {
	id      int32
	label   string
	enabled bool
	checked bool
	sep     bool
	sub     []row
}

type layout struct {
	ID       int32
	Props    map[string]dbus.Variant
	Children []dbus.Variant
}

func (h *host) menu() []row {
	_, name := h.item()
	if name == "" {
		return nil
	}
	var rev uint32
	var l layout
	err := h.conn.Object(name, "/StatusNotifierItem/menu").Call(menuName+".GetLayout", 0, int32(0), int32(-1), []string{}).Store(&rev, &l)
	if err != nil {
		return nil
	}
	return rows(l)
}

func rows(l layout) (list []row) {
	for _, c := range l.Children {
		var k layout
		if dbus.Store([]any{c.Value()}, &k) != nil {
			continue
		}
		r := row{id: k.ID, enabled: true, sub: rows(k)}
		if v, ok := k.Props["label"]; ok {
			r.label, _ = v.Value().(string)
		}
		if v, ok := k.Props["enabled"]; ok {
			r.enabled, _ = v.Value().(bool)
		}
		if v, ok := k.Props["toggle-state"]; ok {
			n, _ := v.Value().(int32)
			r.checked = n == 1
		}
		if v, ok := k.Props["type"]; ok {
			r.sep = v.Value() == "separator"
		}
		list = append(list, r)
	}
	return list
}

// labels is the menu's first level.
func (h *host) labels() (list []string) {
	for _, r := range h.menu() {
		if !r.sep {
			list = append(list, r.label)
		}
	}
	return list
}

func findRow(list []row, label string) (row, bool) {
	for _, r := range list {
		if r.label == label {
			return r, true
		}
		if s, ok := findRow(r.sub, label); ok {
			return s, true
		}
	}
	return row{}, false
}

// click clicks a row by its label, as a panel does.
func (h *host) click(b *bed, label string) {
	b.t.Helper()
	var r row
	var last string
	var since time.Time
	// A menu that is being built anew has other IDs in a moment.
	b.until("the menu row "+label, func() bool {
		menu := h.menu()
		if now := fmt.Sprint(menu); now != last {
			last, since = now, time.Now()
		}
		var ok bool
		r, ok = findRow(menu, label)
		return ok && r.enabled && time.Since(since) > 200*time.Millisecond
	})
	_, name := h.item()
	call := h.conn.Object(name, "/StatusNotifierItem/menu").Call(menuName+".Event", 0, r.id, "clicked", dbus.MakeVariant(int32(0)), uint32(0))
	if call.Err != nil {
		b.t.Fatalf("clicking %q: %v", label, call.Err)
	}
}

// paste reads CLIPBOARD from whoever owns it.
func (h *host) paste(b *bed) string {
	b.t.Helper()
	display := ""
	for _, e := range b.env {
		if d, ok := strings.CutPrefix(e, "DISPLAY="); ok {
			display = d
		}
	}
	xgb.Logger.SetOutput(io.Discard)
	c, err := xgb.NewConnDisplay(display)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	defer time.AfterFunc(20*time.Second, c.Close).Stop() // its owner may have gone
	atom := func(n string) xproto.Atom {
		r, err := xproto.InternAtom(c, false, uint16(len(n)), n).Reply()
		if err != nil {
			b.t.Fatal(err)
		}
		return r.Atom
	}
	win, err := xproto.NewWindowId(c)
	if err != nil {
		b.t.Fatal(err)
	}
	xproto.CreateWindow(c, 0, win, xproto.Setup(c).DefaultScreen(c).Root, 0, 0, 1, 1, 0, xproto.WindowClassInputOnly, 0, 0, nil)
	prop := atom("KITH_TEST")
	xproto.ConvertSelection(c, win, atom("CLIPBOARD"), atom("UTF8_STRING"), prop, xproto.TimeCurrentTime)
	for {
		ev, xerr := c.WaitForEvent()
		if ev == nil && xerr == nil {
			return ""
		}
		n, ok := ev.(xproto.SelectionNotifyEvent)
		if !ok {
			continue
		}
		if n.Property == 0 {
			return ""
		}
		r, err := xproto.GetProperty(c, true, win, prop, xproto.GetPropertyTypeAny, 0, 1<<20).Reply()
		if err != nil {
			b.t.Fatal(err)
		}
		return string(r.Value)
	}
}
