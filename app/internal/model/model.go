// Package model is the app's truth: a pure reducer from ipc events and the
// state of the connection to a View that tray and window draw. It does no I/O,
// reads no clock and knows no toolkit; words are keys of package text.
package model

import (
	"slices"
	"strings"
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

// Settle is how long a transient problem waits before it shows.
const Settle = 5 * time.Second

// State is all that the app knows. The zero State is a start. Values are
// immutable: each change gives a new State.
type State struct {
	app     string // this build's version
	link    Link
	service string    // the helper's build, "" unknown
	lost    time.Time // when a connection that was up went; zero: it never was up
	rev     uint64
	have    bool // status holds a snapshot of the connection that is up
	status  ipc.Status
	first   map[string]time.Time // when a health entry was first seen, by its key
	noGL    bool
}

// New is the state at the start of an app of that version.
func New(app string) State { return State{app: app} }

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

// Apply takes one event of a watch. It is false where a revision is missing:
// the caller connects anew.
func (s State) Apply(ev ipc.Event, now time.Time) (State, bool) {
	if ev.Snapshot != nil {
		s.status, s.rev, s.have, s.link = *ev.Snapshot, ev.Rev, true, LinkUp
		s.lost = time.Time{}
		if s.status.Version != "" {
			s.service = s.status.Version
		}
		s.first = note(s.first, s.status.Health, now)
		return s, true
	}
	if !s.have || ev.Rev != s.rev+1 {
		return s, false
	}
	s.rev = ev.Rev
	if ev.State != nil {
		s.status.State = *ev.State
	}
	if ev.Joining != nil {
		s.status.Joining = *ev.Joining
	}
	if ev.Health != nil {
		s.status.Health = *ev.Health
		s.first = note(s.first, s.status.Health, now)
	}
	if ev.May != nil {
		s.status.May = *ev.May
	}
	s.status.Networks = mergeNetworks(s.status.Networks, ev)
	return s, true
}

// mergeNetworks gives the networks after an event, leaving old as it was.
func mergeNetworks(old []ipc.Network, ev ipc.Event) []ipc.Network {
	if len(ev.Networks)+len(ev.Peers)+len(ev.Removed) == 0 {
		return old
	}
	nets := slices.Clone(old)
	nets = slices.DeleteFunc(nets, func(n ipc.Network) bool { return slices.Contains(ev.Removed, n.ID) })
	for _, n := range ev.Networks {
		if i := indexOf(nets, n.ID); i >= 0 {
			nets[i] = n
		} else {
			nets = append(nets, n)
		}
	}
	byNet := map[string][]ipc.Peer{}
	for _, d := range ev.Peers {
		byNet[d.Network] = append(byNet[d.Network], d.Peer)
	}
	for id, changed := range byNet {
		if i := indexOf(nets, id); i >= 0 {
			nets[i].Peers = mergePeers(nets[i].Peers, changed)
		}
	}
	return nets
}

func indexOf(nets []ipc.Network, id string) int {
	return slices.IndexFunc(nets, func(n ipc.Network) bool { return n.ID == id })
}

func mergePeers(old, changed []ipc.Peer) []ipc.Peer {
	at := make(map[string]int, len(old))
	for i := range old {
		at[old[i].Key] = i
	}
	peers := slices.Clone(old)
	for _, p := range changed {
		if i, ok := at[p.Key]; ok {
			peers[i] = p
			continue
		}
		at[p.Key] = len(peers)
		peers = append(peers, p)
	}
	slices.SortStableFunc(peers, func(a, b ipc.Peer) int { return strings.Compare(a.Name, b.Name) })
	return peers
}

// healthKey tells one warning from another.
func healthKey(h ipc.Health) string { return h.Code + "\x00" + h.Network }

// note keeps when each standing warning was first seen.
func note(old map[string]time.Time, health []ipc.Health, now time.Time) map[string]time.Time {
	first := make(map[string]time.Time, len(health))
	for _, h := range health {
		k := healthKey(h)
		if t, ok := old[k]; ok {
			first[k] = t
		} else {
			first[k] = now
		}
	}
	return first
}
