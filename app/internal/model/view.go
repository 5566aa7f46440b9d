package model

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// Icon is the tray icon; each differs by shape.
type Icon int

const (
	IconOff        Icon = iota // hollow
	IconConnecting             // dotted
	IconOn                     // solid
	IconProblem                // "!"
	IconOffline                // slash
	IconExit                   // solid with an arrow: an exit node is in use
)

// Action is what one click can do about a problem.
type Action int

const (
	ActNone        Action = iota
	ActStart              // start the background service
	ActRestart            // start the app anew
	ActAllow              // say how this account is allowed
	ActPhrase             // show the root phrase that is still held
	ActDiagnostics        // open Diagnostics
	ActJoin               // open the join dialog
	ActExitOff            // use no exit node any more
	ActExits              // open Exit nodes
	ActRepair             // set this machine's DNS up anew
	ActRenew              // ask an admin to renew this device's access
	ActRoutes             // open the routes in Settings
	ActNearby             // open Networks, where devices ask to join
	ActShares             // open Sharing
	ActSignIn             // let a Wi-Fi's sign-in page through for some minutes
	ActSignInDone         // let it through no longer
)

// Problem is one thing that is wrong, ready to be said.
type Problem struct {
	Code     string // a health code, or "absent", "versions", "refused", "readonly", "error"
	Severity ipc.Severity
	Network  string // alias, "" for the machine
	Text     text.Msg
	Action   Action
	Other    Action // a second thing that can be done, or ActNone
}

// Switch is the Connect/Disconnect row.
type Switch int

const (
	SwitchNone Switch = iota // nothing to switch, or not known
	SwitchConnect
	SwitchDisconnect
)

// Net is one network's row.
type Net struct {
	ID, Name, SelfFQDN string // Name is the alias
	SelfName, SelfKey  string
	IPv4, IPv6         string // bare addresses, "" unknown
	Role               ipc.Role
	Active, Removed    bool
	Up, Total          int // peers online, peers
	Facts              text.Msg
	Shields            bool
	Exit               ipc.Exit // this device's own offer
	Relay              ipc.Relay
	Forward            bool
	Routes             []ipc.Route
}

// Dot is the shape at the start of a device's row.
type Dot int

const (
	DotUnknown Dot = iota
	DotOffline
	DotOnline
)

// Device is one row of Devices, with what its details show.
type Device struct {
	Net, NetName   string // network ID, alias
	Self           bool
	Dot            Dot
	Peer           ipc.Peer
	Haystack       string // lower case: what search looks through
	Relayed, Fresh bool   // via another device; the path is in use now
	Shared         string // ID of the share by which a friend's device is here, else ""
	SharedBy       string // what the friend calls itself, unverified
}

// ID tells one device from another over all networks.
func (d Device) ID() string {
	if d.Shared != "" {
		return d.Net + "/" + d.Shared + "/" + d.Peer.FQDN
	}
	return d.Net + "/" + d.Peer.Key
}

// Join is a join under way.
type Join struct {
	ID, Network, Sponsor string
	Stage                ipc.JoinStage
	Step                 int // 1 to 3
	Text                 text.Msg
	Expires              time.Time
}

// View is all that tray and window draw. Two equal Views look the same.
type View struct {
	Icon           Icon
	Title          text.Msg
	Banner         *Problem // the one worst problem
	Problems       []Problem
	Switch         Switch
	Known          bool // the helper has told its state
	May            bool // this account may act
	Machine        bool // this account may name operators
	Nets           []Net
	Devices        []Device
	Joining        []Join
	Exit           Exit
	Shares         []Share
	Nearby         ipc.Nearby
	App, Service   string
	Versions, NoGL bool
	// Next is when the View changes by time alone; zero: never.
	Next time.Time
}

// Equal tells whether two Views look the same.
func (v View) Equal(o View) bool {
	v.Next, o.Next = time.Time{}, time.Time{}
	return reflect.DeepEqual(v, o)
}

// View is what there is to see at a moment.
func (s State) View(now time.Time) View {
	v := View{App: s.app, Service: s.service, NoGL: s.noGL}
	v.Known = s.have && s.link == LinkUp
	if v.Known {
		v.May = slices.Contains(s.status.May, ipc.RightOperate)
		v.Nets = nets(s.status)
		v.Machine = slices.Contains(s.status.May, ipc.RightMachine)
		v.Devices = devices(s.status, s.menu)
		v.Exit = exits(s.status, v.Devices)
		v.Shares = shares(s.status)
		v.Nearby = s.status.Nearby
		v.Joining = joins(s.status.Joining)
	}
	v.Versions = s.link == LinkVersions
	v.Problems, v.Next = s.problems(now)
	if len(v.Problems) > 0 {
		worst := v.Problems[0]
		v.Banner = &worst
	}
	s.head(&v)
	return v
}

// head sets title, icon and switch.
func (s State) head(v *View) {
	switch s.link {
	case LinkReaching:
		v.Icon, v.Title = IconConnecting, text.M("state.reaching")
		return
	case LinkAbsent:
		v.Icon, v.Title = IconProblem, text.M("state.absent")
		if !s.lost.IsZero() && v.Banner == nil {
			v.Icon, v.Title = IconConnecting, text.M("state.reaching")
		}
		return
	case LinkVersions:
		v.Icon, v.Title = IconProblem, text.M("state.versions")
		return
	case LinkRefused:
		v.Icon, v.Title = IconProblem, text.M("state.refused")
		return
	}
	if !s.have {
		v.Icon, v.Title = IconConnecting, text.M("state.reaching")
		return
	}
	switch s.status.State {
	case ipc.StateOff:
		v.Icon, v.Title, v.Switch = IconOff, text.M("state.off"), SwitchConnect
	case ipc.StateStarting:
		v.Icon, v.Title, v.Switch = IconConnecting, text.M("state.starting"), SwitchDisconnect
	case ipc.StateStopping:
		v.Icon, v.Title = IconConnecting, text.M("state.stopping")
	case ipc.StateError:
		v.Icon, v.Title = IconProblem, text.M("state.error")
	default:
		v.Icon, v.Title, v.Switch = running(v.Nets, shared(s.status), v.Joining)
	}
	if s.status.State == ipc.StateRunning || s.status.State == ipc.StateStarting {
		v.exit()
		s.worse(v)
	}
	if !v.May || len(v.Nets) == 0 {
		v.Switch = SwitchNone
	}
}

// worse lets the problems show in the icon of a running helper.
func (s State) worse(v *View) {
	for _, p := range v.Problems {
		switch {
		case p.Code == ipc.HealthNoNetwork:
			v.Icon, v.Title = IconOffline, text.M("state.offline")
			return
		case p.Severity == ipc.SeverityError:
			v.Icon = IconProblem
		}
	}
}

// exit lets the exit node in use show.
func (v *View) exit() {
	if v.Icon != IconOn {
		return
	}
	switch v.Exit.State {
	case ipc.ExitOn:
		v.Icon = IconExit
	case ipc.ExitConnecting:
		v.Icon, v.Title = IconConnecting, text.M("state.exit.wait", "device", v.Exit.Using)
	case ipc.ExitBlocked:
		v.Title = text.M("state.exit.blocked", "device", v.Exit.Using)
		if v.Exit.Why == "offline" {
			v.Title.Key = "state.exit.offline"
		}
	}
}

// running is the head of a helper that runs; friends are the devices that others
// share, which count as one's own do.
func running(nets []Net, friends []Device, joining []Join) (Icon, text.Msg, Switch) {
	active, up, total, gone := 0, 0, 0, 0
	for _, d := range friends {
		if d.Dot == DotUnknown {
			continue // of a network that is off
		}
		total++
		if d.Dot == DotOnline {
			up++
		}
	}
	for _, n := range nets {
		if n.Removed {
			gone++
		}
		if n.Active && !n.Removed {
			active++
			up, total = up+n.Up, total+n.Total
		}
	}
	switch {
	case len(nets) == 0 && len(joining) > 0:
		return IconConnecting, text.M("state.joining", "network", joining[0].Network), SwitchNone
	case len(nets) == 0:
		return IconOff, text.M("state.none"), SwitchNone
	case gone == len(nets):
		return IconProblem, text.M("state.removed", "network", nets[0].Name), SwitchNone
	case active == 0:
		return IconOff, text.M("state.inactive"), SwitchConnect
	case total == 0:
		return IconOn, text.M("state.alone"), SwitchDisconnect
	}
	// The device itself is one of the n: "7 of 9 devices" counts this one.
	return IconOn, text.M("state.connected", "up", text.Number(up+active), "n", text.Number(total+active)), SwitchDisconnect
}

func nets(st ipc.Status) []Net {
	rows := make([]Net, 0, len(st.Networks))
	for _, n := range st.Networks {
		r := Net{
			ID: n.ID, Name: alias(n), SelfFQDN: n.Self.FQDN, SelfName: n.Self.Name, SelfKey: n.Self.Key,
			Shields: n.Shields, Exit: n.Exit, Relay: n.Relay, Forward: n.Forward.On, Routes: n.Routes,
			Role: n.Self.Role, Active: n.Active && st.State != ipc.StateOff, Removed: n.Self.Role == ipc.RoleRemoved, Total: len(n.Peers),
		}
		if n.Self.IPv4 != nil {
			r.IPv4 = n.Self.IPv4.String()
		}
		if n.Self.IPv6 != nil {
			r.IPv6 = n.Self.IPv6.String()
		}
		for i := range n.Peers {
			if n.Peers[i].Online && r.Active {
				r.Up++
			}
		}
		r.Facts = facts(r)
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b Net) int { return strings.Compare(a.Name, b.Name) })
	return rows
}

func facts(r Net) text.Msg {
	role := string(r.Role)
	switch {
	case r.Removed:
		return text.M("networks.gone")
	case !r.Active:
		return text.M("networks.off", "role", role)
	case r.Total == 0:
		return text.M("networks.facts0", "role", role)
	}
	return text.M("networks.facts", "role", role, "up", text.Number(r.Up), "n", text.Number(r.Total))
}

func alias(n ipc.Network) string {
	if n.Alias != "" {
		return n.Alias
	}
	return n.Name
}

func joins(list []ipc.Joining) []Join {
	rows := make([]Join, 0, len(list))
	for _, j := range list {
		r := Join{ID: j.ID, Network: j.Network, Sponsor: j.Sponsor, Stage: j.Stage, Expires: j.Expires, Step: 1}
		switch j.Stage {
		case ipc.JoinAsking:
			r.Step = 2
		case ipc.JoinAdmitted:
			r.Step = 3
		}
		r.Text = text.M(text.Key("join."+string(j.Stage)), "sponsor", j.Sponsor)
		r.Text.Fallback = string(j.Stage)
		rows = append(rows, r)
	}
	return rows
}
