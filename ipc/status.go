package ipc

import (
	"net/netip"
	"time"
)

// State is the helper's state as a whole.
type State string

const (
	StateOff      State = "off"      // stopped by the user ("down"); lasts over restarts
	StateStarting State = "starting" // a network is being set up
	StateRunning  State = "running"
	StateStopping State = "stopping"
	StateError    State = "error" // the helper runs but can do nothing; see Health
)

// Status is the whole state that any local user may read. Lists are never
// null, unknown is null, times are RFC 3339.
type Status struct {
	Schema   int       `json:"schema"`
	Version  string    `json:"version"` // the helper's build
	State    State     `json:"state"`
	Networks []Network `json:"networks"`
	Joining  []Joining `json:"joining"`
	Nearby   Nearby    `json:"nearby"`
	Health   []Health  `json:"health"`
	Portal   Portal    `json:"portal"`
	// May tells what the caller may do: an empty list is "read only".
	May []Right `json:"may"`
}

// Portal is the captive portal of the network that this machine is on, if any.
type Portal struct {
	Noticed bool `json:"noticed"`
	// By is who noticed: the operating system's own word ("NetworkManager",
	// "Windows"), or a relay, by name, for whom somebody else answers.
	By string `json:"by"`
	// OpenUntil is when DNS and TCP 80 and 443 no longer go past exit nodes and
	// resolvers in the mesh; null: they do not now.
	OpenUntil *time.Time `json:"open_until"`
}

// PortalRequest lets them pass, for five minutes, or no longer.
type PortalRequest struct {
	Open bool `json:"open"`
}

type PortalAnswer struct {
	Schema int    `json:"schema"`
	Portal Portal `json:"portal"`
}

// Network is one network as this device sees it.
type Network struct {
	Name   string `json:"name"`  // the network's own name
	Alias  string `json:"alias"` // the name it goes by on this device; equals Name unless two share it
	ID     string `json:"id"`    // 64 hex digits
	Active bool   `json:"active"`
	Self   Self   `json:"self"`
	Exit   Exit   `json:"exit"`
	Relay  Relay  `json:"relay"`
	// Forward is what this device does for members who cannot reach one another.
	Forward Forward `json:"forward"`
	Shields bool    `json:"shields"` // nothing comes in
	Peers   []Peer  `json:"peers"`   // without self, sorted by name
	Routes  []Route `json:"routes"`  // subnets behind devices, this one's among them
	Shares  []Share `json:"shares"`
}

// Role is what a device's grants let it do.
type Role string

const (
	RoleOwner   Role = "owner"
	RoleAdmin   Role = "admin"
	RoleSponsor Role = "sponsor"
	RolePlain   Role = "plain"
	RoleRemoved Role = "removed" // revoked or expired: the network is kept to say so, nothing passes
)

// Self is this device in a network.
type Self struct {
	Name    string          `json:"name"`
	FQDN    string          `json:"fqdn"` // no trailing dot
	IPv4    *netip.Addr     `json:"ipv4"`
	IPv6    *netip.Addr     `json:"ipv6"`
	DNS     *netip.AddrPort `json:"dns"` // where the stub answers
	Role    Role            `json:"role"`
	Key     string          `json:"key"` // device key, as in the roster
	Port    uint16          `json:"port"`
	Expires *time.Time      `json:"expires"`
}

// UpRequest connects a network, all for "". Shields null leaves them as they are.
type UpRequest struct {
	Network string `json:"network"`
	Shields *bool  `json:"shields"` // block all that comes in
}
