// Package states lists, for tests, what can be so that a person has to be told
// of: each state with the status of a helper that brings it about. The model's
// words and the window's and tray's are tested by the same list.
package states

import (
	"fmt"
	"net/netip"
	"time"

	"kith.internal/ipc"
)

// State is one that has words of its own.
type State int

const (
	HelperAbsent State = iota
	VersionsDiffer
	NotPermitted // to change the VPN
	Refused      // nor to look
	NoNetwork
	CaptivePortal
	PortalOpen // the sign-in is let through
	LANOnly
	Relayed
	Expiring
	Removed
	DNSOverridden
	AddressConflict
	ClockWrong
	ExitOffline
	states // their number
)

// All are all states.
func All() (list []State) {
	for s := range states {
		list = append(list, s)
	}
	return list
}

// Row is one way to be in a state. A row without Status is one of the
// connection to the helper.
type Row struct {
	State  State
	Name   string
	Status *ipc.Status
	// At is the time that the words name, if any.
	At time.Time
}

// Rows are all rows, as of now.
func Rows(now time.Time) []Row {
	hour := now.Truncate(time.Hour)
	rows := []Row{
		{State: HelperAbsent, Name: "helper absent"},
		{State: VersionsDiffer, Name: "versions differ"},
		{State: Refused, Name: "not permitted to connect"},
		{State: NotPermitted, Name: "not permitted", Status: with(func(st *ipc.Status) { st.May = nil })},
		{State: NoNetwork, Name: "no network", Status: warned(ipc.HealthNoNetwork, "")},
		{State: CaptivePortal, Name: "captive portal", Status: warned(ipc.HealthPortal, "", "by", "NetworkManager")},
		{State: LANOnly, Name: "LAN only", Status: near(3)},
		{State: LANOnly, Name: "LAN only, one device", Status: near(1)},
		{State: LANOnly, Name: "LAN only, none", Status: near(0)},
		{State: Relayed, Name: "relayed", Status: with(func(st *ipc.Status) {
			p := peer("office", true)
			p.Path, p.Via, p.LatencyMS, p.Why = ipc.PathRelayed, ptr("vps"), ptr(48.0), ptr(ipc.WhyHardBoth)
			st.Networks[0].Peers = []ipc.Peer{p}
		})},
		{State: Removed, Name: "removed", Status: with(func(st *ipc.Status) {
			st.Health = []ipc.Health{health(ipc.HealthRemoved, ipc.SeverityError, "home", "by", "nas")}
			st.Networks[0].Self.Role = ipc.RoleRemoved
		})},
		{State: DNSOverridden, Name: "DNS overridden", Status: warned(ipc.HealthDNSOverridden, "", "by", "NetworkManager")},
		{State: AddressConflict, Name: "address conflict", Status: with(func(st *ipc.Status) {
			st.Health = []ipc.Health{health(ipc.HealthRouteConflict, ipc.SeverityWarning, "home", "route", "192.168.1.0/24", "with", "wlan0")}
			st.Networks[0].Routes = []ipc.Route{{Prefix: netip.MustParsePrefix("192.168.1.0/24"), Device: "nas", Accepted: true, Conflict: ptr("wlan0")}}
		})},
		{State: ClockWrong, Name: "clock wrong", Status: warned(ipc.HealthClock, "", "offset", "-9m3s")},
		{State: ExitOffline, Name: "exit node offline", Status: with(func(st *ipc.Status) {
			n := &st.Networks[0]
			n.Exit.Using, n.Exit.State, n.Peers[0].Online, n.Peers[0].Exit = ptr("nas"), ipc.ExitBlocked, false, true
			st.Health = []ipc.Health{health(ipc.HealthExitBlocked, ipc.SeverityError, "home", "device", "nas", "why", "offline")}
		})},
	}
	open := hour.Add(90 * time.Minute)
	rows = append(rows, Row{PortalOpen, "captive portal, let through", warned(ipc.HealthPortalOpen, "", "until", open.Format(time.RFC3339)), open})
	for _, days := range []int{30, 6, 1} {
		at := hour.Add(time.Duration(days) * 24 * time.Hour)
		rows = append(rows, Row{Expiring, fmt.Sprintf("expiring in %d days", days), warned(ipc.HealthExpiring, "home", "at", at.Format(time.RFC3339)), at})
	}
	return rows
}

func ptr[T any](v T) *T { return &v }

func peer(name string, online bool) ipc.Peer {
	p := ipc.Peer{Name: name, FQDN: name + ".home.internal", Key: "key-" + name, Online: online, Active: online, Path: ipc.PathNone, Role: ipc.RolePlain}
	if online {
		p.Path = ipc.PathLAN
	}
	return p
}

func health(code string, sev ipc.Severity, net string, args ...string) ipc.Health {
	h := ipc.Health{Code: code, Severity: sev, Network: net, Text: "English of " + code, Args: map[string]string{}}
	for i := 0; i < len(args); i += 2 {
		h.Args[args[i]] = args[i+1]
	}
	return h
}

// with is a running helper in a network with an admin's nas and a phone that is
// off, changed.
func with(change func(*ipc.Status)) *ipc.Status {
	nas := peer("nas", true)
	nas.Role = ipc.RoleAdmin
	st := &ipc.Status{Schema: 1, Version: "1.3", State: ipc.StateRunning, May: []ipc.Right{ipc.RightOperate}, Networks: []ipc.Network{{
		Name: "home", Alias: "home", ID: "id-home", Active: true, Peers: []ipc.Peer{nas, peer("phone", false)},
		Self: ipc.Self{Name: "laptop", FQDN: "laptop.home.internal", Role: ipc.RoleOwner, Key: "key-self"},
	}}}
	change(st)
	return st
}

func warned(code, net string, args ...string) *ipc.Status {
	return with(func(st *ipc.Status) { st.Health = []ipc.Health{health(code, ipc.SeverityWarning, net, args...)} })
}

// near is a helper without internet that reaches so many devices here.
func near(n int) *ipc.Status {
	return with(func(st *ipc.Status) {
		far := peer("vps", true)
		far.Path = ipc.PathDirect
		st.Networks[0].Peers = []ipc.Peer{far}
		for i := range n {
			st.Networks[0].Peers = append(st.Networks[0].Peers, peer(fmt.Sprint("nas", i), true))
		}
		st.Health = []ipc.Health{health(ipc.HealthLANOnly, ipc.SeverityInfo, "")}
	})
}
