package desktop

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// X11 tells whether this is an X11 session, where a window's selection dies
// with its process and so the tray should own it.
func X11() bool { return os.Getenv("DISPLAY") != "" && os.Getenv("WAYLAND_DISPLAY") == "" }

// Clipboard sets the clipboard without a toolkit. On X11 it owns the selection
// itself, sleeping until someone pastes; on Wayland, which lets only the
// window in front do that, it asks wl-copy.
type Clipboard struct {
	mu  sync.Mutex
	own *owner
}

// Set puts a text on the clipboard.
func (c *Clipboard) Set(text string) error {
	if os.Getenv("WAYLAND_DISPLAY") != "" {
		if path, err := exec.LookPath("wl-copy"); err == nil {
			cmd := exec.Command(path)
			cmd.Stdin = strings.NewReader(text)
			return cmd.Run()
		}
	}
	if os.Getenv("DISPLAY") == "" {
		return ErrNoClipboard
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own == nil || c.own.dead() {
		o, err := newOwner()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrNoClipboard, err)
		}
		c.own = o
	}
	return c.own.set(text)
}

// Close gives the selection up.
func (c *Clipboard) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own != nil {
		c.own.conn.Close()
		<-c.own.done
		c.own = nil
	}
}

// owner holds the CLIPBOARD selection (ICCCM section 2).
type owner struct {
	conn *xgb.Conn
	win  xproto.Window
	atom map[string]xproto.Atom
	done chan struct{}

	mu   sync.Mutex
	text []byte
}

func newOwner() (*owner, error) {
	xgb.Logger.SetOutput(io.Discard) // it writes to stderr what it returns as well
	conn, err := xgb.NewConn()
	if err != nil {
		return nil, err
	}
	o := &owner{conn: conn, atom: map[string]xproto.Atom{}, done: make(chan struct{})}
	for _, n := range []string{"CLIPBOARD", "TARGETS", "UTF8_STRING", "TEXT", "text/plain;charset=utf-8"} {
		r, err := xproto.InternAtom(conn, false, uint16(len(n)), n).Reply()
		if err != nil {
			conn.Close()
			return nil, err
		}
		o.atom[n] = r.Atom
	}
	if o.win, err = xproto.NewWindowId(conn); err == nil {
		root := xproto.Setup(conn).DefaultScreen(conn).Root
		err = xproto.CreateWindowChecked(conn, 0, o.win, root, 0, 0, 1, 1, 0, xproto.WindowClassInputOnly, 0, 0, nil).Check()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	go o.serve()
	return o, nil
}

func (o *owner) dead() bool {
	select {
	case <-o.done:
		return true
	default:
		return false
	}
}

func (o *owner) set(text string) error {
	o.mu.Lock()
	o.text = []byte(text)
	o.mu.Unlock()
	if err := xproto.SetSelectionOwnerChecked(o.conn, o.win, o.atom["CLIPBOARD"], xproto.TimeCurrentTime).Check(); err != nil {
		return err
	}
	r, err := xproto.GetSelectionOwner(o.conn, o.atom["CLIPBOARD"]).Reply()
	if err == nil && r.Owner != o.win {
		err = ErrNoClipboard
	}
	return err
}

func (o *owner) serve() {
	defer close(o.done)
	for {
		ev, err := o.conn.WaitForEvent()
		if ev == nil && err == nil {
			return
		}
		if r, ok := ev.(xproto.SelectionRequestEvent); ok {
			o.answer(r)
		}
	}
}

// answer hands the text to who pastes.
func (o *owner) answer(r xproto.SelectionRequestEvent) {
	o.mu.Lock()
	text := o.text
	o.mu.Unlock()
	prop := r.Property
	if prop == 0 {
		prop = r.Target // an obsolete requestor
	}
	switch r.Target {
	case o.atom["TARGETS"]:
		var list []byte
		targets := []xproto.Atom{o.atom["TARGETS"], o.atom["UTF8_STRING"], o.atom["text/plain;charset=utf-8"], o.atom["TEXT"], xproto.AtomString}
		for _, a := range targets {
			var b [4]byte
			xgb.Put32(b[:], uint32(a))
			list = append(list, b[:]...)
		}
		xproto.ChangeProperty(o.conn, xproto.PropModeReplace, r.Requestor, prop, xproto.AtomAtom, 32, uint32(len(targets)), list)
	case o.atom["UTF8_STRING"], o.atom["TEXT"], o.atom["text/plain;charset=utf-8"], xproto.AtomString:
		kind := r.Target
		if kind == o.atom["TEXT"] {
			kind = o.atom["UTF8_STRING"]
		}
		xproto.ChangeProperty(o.conn, xproto.PropModeReplace, r.Requestor, prop, kind, 8, uint32(len(text)), text)
	default:
		prop = 0
	}
	done := xproto.SelectionNotifyEvent{Time: r.Time, Requestor: r.Requestor, Selection: r.Selection, Target: r.Target, Property: prop}
	xproto.SendEvent(o.conn, false, r.Requestor, 0, string(done.Bytes()))
}
