// Package model is the app's truth: a pure reducer from the helper's status
// and the state of the connection to a View that tray and window draw. It does no I/O,
// reads no clock and knows no toolkit; words are keys of package text.
package model

import (
	"time"

	"kith.internal/ipc"
)

// Link is the state of the connection to the helper.
type Link int

const (
	LinkReaching Link = iota // no answer yet
	LinkUp
	LinkAbsent   // nobody on the socket
	LinkVersions // the helper speaks another protocol version
	LinkRefused  // the OS or the helper refuses this account
)

// Settle is how long a helper must be gone before the app says so. The helper's
// own transient warnings have waited as long before they come.
const Settle = 5 * time.Second

// State is all that the app knows. The zero State is a start. Values are
// immutable: each change gives a new State.
type State struct {
	app     string // this build's version
	link    Link
	service string    // the helper's build, "" unknown
	lost    time.Time // when a connection that was up went; zero: it never was up
	have    bool      // status holds a snapshot of the connection that is up
	status  ipc.Status
	noGL    bool
	menu    bool // for a menu: Views have no devices but exit nodes
}

// New is the state at the start of an app of that version.
func New(app string) State { return State{app: app} }

// ForMenu is the State whose Views have of the devices only those that a menu
// shows: of thousands, the exit nodes.
func (s State) ForMenu() State {
	s.menu = true
	return s
}

// MenuPeer clears what no menu shows of a device: of thousands, the tray keeps
// little more than whether they are there.
func MenuPeer(p *ipc.Peer) {
	if p.Exit {
		return
	}
	few := ipc.Peer{Name: p.Name, Key: p.Key, Online: p.Online}
	if p.Path == ipc.PathLAN {
		few.Path = ipc.PathLAN // not the string that was read
	}
	for _, r := range []ipc.Role{ipc.RoleOwner, ipc.RoleAdmin} {
		if p.Role == r {
			few.Role = r
		}
	}
	*p = few
}

// SetLink tells how the connection to the helper stands. service is the
// helper's version where it is known.
func (s State) SetLink(l Link, service string, now time.Time) State {
	if s.link == LinkUp && l != LinkUp {
		s.lost = now
	}
	if service != "" {
		s.service = service
	}
	if l != LinkUp || s.link != LinkUp {
		s.have = false
	}
	s.link = l
	return s
}

// SetNoGL notes that the window cannot start for want of OpenGL.
func (s State) SetNoGL(no bool) State {
	s.noGL = no
	return s
}

// Status is what the helper said last; false while it is not known.
func (s State) Status() (ipc.Status, bool) { return s.status, s.have && s.link == LinkUp }

// Take takes the helper's whole state, as ipc/client keeps it.
func (s State) Take(st ipc.Status) State {
	s.status, s.have, s.link, s.lost = st, true, LinkUp, time.Time{}
	if st.Version != "" {
		s.service = st.Version
	}
	return s
}
