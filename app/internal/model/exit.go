package model

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"kith.internal/app/internal/text"
	"kith.internal/ipc"
)

// Exit is the use of exit nodes over all networks; one at most is in use.
type Exit struct {
	State    ipc.ExitState  // ExitOff where none is in use
	Why      string         // why it is blocked, as the helper's warning says
	Using    string         // the device's name, "" none
	Net      string         // network ID of the one in use, "" none
	AllowLAN bool           // local networks stay reachable, beside the one in use or the next
	Only     []netip.Prefix // that holds for these alone; for all, also of other places, where empty
	LANs     []LAN          // those here, then what is chosen and not here
	Nodes    []ExitNode     // the one in use, those used before, then who can be reached, by latency and name
}

// ExitNode is a device that passes on internet traffic.
type ExitNode struct {
	Device Device
	Using  bool
	Recent bool // used before
}

// Name is the name on a node's row: with its network where two are alike.
func (e Exit) Name(n ExitNode) string {
	for _, o := range e.Nodes {
		if o.Device.Peer.Name == n.Device.Peer.Name && o.Device.ID() != n.Device.ID() {
			return n.Device.Peer.Name + " · " + n.Device.NetName
		}
	}
	return n.Device.Peer.Name
}

// Target is by which the helper knows a node.
func (n ExitNode) Target() string {
	return cmp.Or(n.Device.Peer.Key, n.Device.Peer.FQDN)
}

// Usable tells whether a node can be chosen now.
func (n ExitNode) Usable() bool { return n.Device.Dot == DotOnline }

// In tells whether a device is the exit node in use.
func (e Exit) In(d Device) bool { return e.Using != "" && d.Net == e.Net && exitName(d) == e.Using }

// exits gathers the exit nodes of all networks.
func exits(st ipc.Status, devices []Device) Exit {
	e := Exit{State: ipc.ExitOff}
	recent := map[string]int{} // network ID + name, to place
	for _, n := range st.Networks {
		e.AllowLAN = e.AllowLAN || n.Exit.LANAllowed // one switch for all networks
		e.Only, e.LANs = n.Exit.LANs, lans(n.Exit)
		for i, name := range n.Exit.Recent {
			recent[n.ID+"/"+name] = i
		}
		if n.Exit.Using != nil && n.Self.Role != ipc.RoleRemoved {
			e.Using, e.Net, e.State = *n.Exit.Using, n.ID, n.Exit.State
			if e.State == "" || e.State == ipc.ExitOff {
				e.State = ipc.ExitConnecting
			}
		}
	}
	for _, h := range st.Health {
		if h.Code == ipc.HealthExitBlocked {
			e.Why = h.Args["why"]
		}
	}
	for _, d := range devices {
		using := e.In(d)
		if d.Peer.Exit || using {
			_, used := recent[d.Net+"/"+exitName(d)]
			e.Nodes = append(e.Nodes, ExitNode{Device: d, Using: using, Recent: used})
		}
	}
	place := func(n ExitNode) int {
		if n.Using {
			return -1
		}
		if i, ok := recent[n.Device.Net+"/"+exitName(n.Device)]; ok {
			return i
		}
		return 1 << 20
	}
	slices.SortStableFunc(e.Nodes, func(a, b ExitNode) int {
		return cmp.Or(
			cmp.Compare(place(a), place(b)),
			cmp.Compare(b.Device.Dot, a.Device.Dot),
			cmp.Compare(latency(a.Device.Peer), latency(b.Device.Peer)),
			strings.Compare(a.Device.Peer.Name, b.Device.Peer.Name))
	})
	return e
}

// exitName is what the helper calls a device as an exit node: a friend's with its
// network.
func exitName(d Device) string {
	if d.Shared != "" {
		return d.Peer.Name + "." + d.NetName
	}
	return d.Peer.Name
}

func latency(p ipc.Peer) float64 {
	if p.LatencyMS == nil {
		return 1e9
	}
	return *p.LatencyMS
}

// SearchExits gives the nodes that match every word of the query.
func SearchExits(all []ExitNode, query string) (found []ExitNode) {
	words := strings.Fields(strings.ToLower(query))
next:
	for _, n := range all {
		for _, w := range words {
			if !strings.Contains(n.Device.Haystack, w) {
				continue next
			}
		}
		found = append(found, n)
	}
	return found
}

// ExitWords says how the exit node in use stands, "" for none.
func ExitWords(c *text.Catalogue, e Exit) string {
	switch e.State {
	case ipc.ExitConnecting:
		return c.S("exit.connecting", "device", e.Using)
	case ipc.ExitOn:
		return c.S("exit.on", "device", e.Using)
	case ipc.ExitBlocked:
		return c.S(blockedKey(e.Why), "device", e.Using)
	}
	return c.S("exit.off")
}

// blockedKey is the words on an exit node that cannot be used, by why. A reason
// of a newer helper is left out.
func blockedKey(why string) text.Key {
	switch why {
	case "offline":
		return "problem.exit"
	case "gone", "not-approved", "refuses", "failed", "unshared", "forbidden":
		return text.Key("problem.exit." + why)
	}
	return text.HealthKey(ipc.HealthExitBlocked)
}
