// Package desktop is what the app wants of the desktop it runs on: one
// instance a user, notifications, clipboard, start at login, the service. It
// must not import Fyne.
package desktop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Message is what one process of the app tells another of the same user.
type Message struct {
	Verb string `json:"verb"` // see the constants
	Page string `json:"page,omitempty"`
	Link string `json:"link,omitempty"` // shown as a preview, never acted on
	Text string `json:"text,omitempty"` // for MsgCopy
	On   bool   `json:"on,omitempty"`   // for MsgFront
}

const (
	MsgOpen    = "open"    // to the tray: open the window; to the window: come to the front
	MsgCopy    = "copy"    // to the tray: Text to the clipboard
	MsgFront   = "front"   // to the tray: the window is in front, or no longer
	MsgShown   = "shown"   // to the tray: the window is up
	MsgQuit    = "quit"    // to both: end
	MsgDown    = "down"    // to the tray: disconnect, then end
	MsgRestart = "restart" // to the tray: start anew, after an update
)

// MaxMessage bounds a message in bytes, MaxLink a link in it.
const (
	MaxMessage = 64 << 10
	MaxLink    = 4 << 10
)

// ErrTaken says that another process of this user has the role.
var ErrTaken = errors.New("another process has this role")

const patience = 2 * time.Second

// Instance is a role ("tray", "window") that one process of a user has.
type Instance struct {
	ln   net.Listener
	lock *os.File
	wg   sync.WaitGroup
}

// Claim takes a role in dir; handle gets what others send, one call at a time.
func Claim(dir, role string, handle func(Message)) (*Instance, error) {
	lock, err := lockFile(filepath.Join(dir, role+".lock"))
	if err != nil {
		return nil, fmt.Errorf("claiming %s: %w", role, err)
	}
	// We hold the lock: nobody alive listens there.
	ln, err := listen(dir, role)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("claiming %s: %w", role, err)
	}
	in := &Instance{ln: ln, lock: lock}
	in.wg.Add(1)
	go in.serve(handle)
	return in, nil
}

func (in *Instance) serve(handle func(Message)) {
	defer in.wg.Done()
	for {
		conn, err := in.ln.Accept()
		if err != nil {
			return
		}
		conn.SetDeadline(time.Now().Add(patience))
		m, err := read(conn)
		if err == nil {
			_, err = io.WriteString(conn, "ok\n")
		}
		conn.Close()
		if err == nil {
			handle(m)
		}
	}
}

func read(r io.Reader) (Message, error) {
	var m Message
	if err := json.NewDecoder(io.LimitReader(r, MaxMessage)).Decode(&m); err != nil {
		return m, fmt.Errorf("reading a message: %w", err)
	}
	if len(m.Link) > MaxLink {
		return m, errors.New("reading a message: a link of more than 4 KiB")
	}
	return m, nil
}

// ReadMessage reads one message, as Claim's handle gets it.
func ReadMessage(r io.Reader) (Message, error) { return read(r) }

// Close gives the role up.
func (in *Instance) Close() {
	in.ln.Close()
	in.wg.Wait()
	in.lock.Close()
}

// Send hands a message to whoever has a role. It fails where nobody has.
func Send(dir, role string, m Message) error {
	conn, err := dial(dir, role)
	if err != nil {
		return fmt.Errorf("telling %s: %w", role, err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if err := json.NewEncoder(conn).Encode(m); err != nil {
		return fmt.Errorf("telling %s: %w", role, err)
	}
	var answer [3]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fmt.Errorf("telling %s: no answer: %w", role, err)
	}
	return nil
}

// Reach takes a role by claim, or hands m to whoever has it. One who has just
// taken it may not listen yet, one who ends may listen no more: it tries for a while.
func Reach(dir, role string, m Message, claim func() error) error {
	for late := time.Now().Add(patience); ; {
		err := claim()
		if !errors.Is(err, ErrTaken) {
			return err
		}
		if err = Send(dir, role, m); err == nil || time.Now().After(late) {
			return err
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Dir is the directory of this user's sockets, made 0700 where it is missing.
func Dir() (string, error) {
	base := os.Getenv("XDG_RUNTIME_DIR")
	if base == "" {
		var err error
		if base, err = os.UserCacheDir(); err != nil {
			return "", fmt.Errorf("no place for the app's socket: %w", err)
		}
	}
	dir := filepath.Join(base, "kith-app")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("no place for the app's socket: %w", err)
	}
	return dir, private(dir)
}
