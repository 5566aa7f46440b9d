package ipc

import "net/netip"

// Exit is the exit nodes of one network: the one in use here, and this device's
// own offer.
type Exit struct {
	Using    *string `json:"using"`     // the device in use, by name
	Offering bool    `json:"offering"`  // this device offers to be one and an admin has agreed
	Pending  bool    `json:"pending"`   // it offers, and waits for an admin's word
	OfferLAN bool    `json:"offer_lan"` // who uses this device reaches its own LAN too
	// NAT is how this device passes on what comes: "kernel" or "userspace"; ""
	// while it offers neither an exit nor a route.
	NAT string `json:"nat"`
	// AllowLAN is the local networks that stay reachable beside the exit, now or
	// once one is used.
	AllowLAN []netip.Prefix `json:"allow_lan"`
	// LANAllowed is the switch for that, whether or not there are any; it is for
	// LANs alone, or for all where that is empty.
	LANAllowed bool           `json:"lan_allowed"`
	LANs       []netip.Prefix `json:"lans"`
	// Local is the local networks that this device is connected to now, which the
	// switch can keep reachable.
	Local []netip.Prefix `json:"local"`
	// State is what becomes of internet traffic now.
	State ExitState `json:"state"`
	// Recent is the names of the exit nodes used before, the last first.
	Recent []string `json:"recent"`
}

// ExitState is what becomes of internet traffic.
type ExitState string

const (
	ExitOff        ExitState = "off"        // no exit node: it goes as ever
	ExitConnecting ExitState = "connecting" // chosen, no path yet: it is blocked
	ExitOn         ExitState = "on"
	ExitBlocked    ExitState = "blocked" // the exit node is offline, refuses or has left: it is blocked
)

// Route is a subnet behind a device of the network.
type Route struct {
	Prefix   netip.Prefix `json:"prefix"`
	Device   string       `json:"device"` // by name
	Own      bool         `json:"own"`    // this device offers it
	SNAT     bool         `json:"snat"`   // of an own one: what passes has this device's address there
	Approved bool         `json:"approved"`
	Accepted bool         `json:"accepted"` // this device's user wants it
	Active   bool         `json:"active"`   // packets for it go to Device now
	Conflict *string      `json:"conflict"` // the local interface or network that it collides with
}

// ExitUseRequest sends internet traffic through a device. Without a device and
// with AllowLAN it sets that switch alone, for the exit node in use or the next.
type ExitUseRequest struct {
	Network string `json:"network"`
	Device  string `json:"device"` // name, FQDN, overlay address or key prefix
	// AllowLAN keeps the directly connected networks reachable; null leaves the
	// switch as it is. LANs names some of them alone; empty is all.
	AllowLAN *bool          `json:"allow_lan"`
	LANs     []netip.Prefix `json:"lans"`
}

// ExitOfferRequest makes this device an exit node, or ends that.
type ExitOfferRequest struct {
	Network string `json:"network"`
	On      bool   `json:"on"`
	LAN     bool   `json:"lan"` // its own LAN can be reached through it too
}

type ExitAnswer struct {
	Schema int  `json:"schema"`
	Exit   Exit `json:"exit"`
}

// RouteRequest is about one subnet route.
type RouteRequest struct {
	Network string       `json:"network"`
	Prefix  netip.Prefix `json:"prefix"`
	Device  string       `json:"device"`  // whose, for approve; "" where only one offers it
	NoSNAT  bool         `json:"no_snat"` // for add
	Off     bool         `json:"off"`     // for accept: not any more
}

type RouteAnswer struct {
	Schema  int     `json:"schema"`
	Pending bool    `json:"pending"` // asked for; an admin has to approve
	Routes  []Route `json:"routes"`
}
