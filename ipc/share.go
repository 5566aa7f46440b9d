package ipc

import (
	"net/netip"
	"time"
)

// Share is one share, given or received.
type Share struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`    // of the device; of several, the first
	FQDN      string         `json:"fqdn"`    // by which a guest finds it; "" for one's own
	Network   string         `json:"network"` // alias of the network that it belongs to, as this device calls it
	Devices   []SharedDevice `json:"devices"`
	Ports     []string       `json:"ports"`     // "445/tcp", "all"
	Exit      bool           `json:"exit"`      // it may be used as an exit node
	Both      bool           `json:"both"`      // the owner's devices may open connections too
	Expires   *time.Time     `json:"expires"`   // null for never
	AcceptBy  *time.Time     `json:"accept_by"` // of one not yet accepted
	Direction string         `json:"direction"` // "in" or "out"
	State     ShareState     `json:"state"`
	Label     string         `json:"label"`  // what the other side calls itself, unverified
	Words     []string       `json:"words"`  // fingerprint words to compare, while State is confirm
	Guests    []Guest        `json:"guests"` // of one given: who comes
	MaxGuests int            `json:"max_guests"`
	LastUsed  *time.Time     `json:"last_used"`
	Refused   []Refusal      `json:"refused"` // of one given: who was not let in lately, the latest first
	// Why is why it does not work now; its args: network, the own one. Of one given
	// CodePolicy alone: the policy lets nothing of it through.
	Why     *Code             `json:"why"`
	WhyArgs map[string]string `json:"why_args,omitempty"`
}

// SharedDevice is one target of a share.
type SharedDevice struct {
	Name   string      `json:"name"`
	FQDN   string      `json:"fqdn"`
	Short  *string     `json:"short"` // the short name that leads there, null where it is taken
	IPv4   *netip.Addr `json:"ipv4"`  // for a guest: mapped locally
	IPv6   *netip.Addr `json:"ipv6"`
	Online bool        `json:"online"`
	Path   PathKind    `json:"path"`
	Via    *string     `json:"via"`
	Exit   bool        `json:"exit"`  // for a guest: it may be used as an exit node
	Using  bool        `json:"using"` // and is

	LatencyMS *float64 `json:"latency_ms"`
}

// Guest is a friend's device.
type Guest struct {
	Label    string      `json:"label"`
	IPv6     *netip.Addr `json:"ipv6"`
	Online   bool        `json:"online"`
	LastSeen *time.Time  `json:"last_seen"`
}

// Refusal is who held a share's link, or a key that came by it, and was not let
// in, and why. Those that differ in the key alone are one, with the latest.
type Refusal struct {
	At     time.Time `json:"at"`     // the last time
	Code   Code      `json:"code"`   // why
	Text   string    `json:"text"`   // the same in English, of this network's own words
	Label  string    `json:"label"`  // what it calls itself, unverified; "" where it did not come to that
	Key    string    `json:"key"`    // the beginning of its key; "" likewise
	Link   bool      `json:"link"`   // it wanted to accept the link; else it showed a pass
	Device string    `json:"device"` // which device of one's own refused it
	Count  int       `json:"count"`
}

// ShareState is how far a share has come.
type ShareState string

const (
	SharePending ShareState = "pending" // nobody has accepted it yet
	ShareConfirm ShareState = "confirm" // accepted; the owner has to compare words and approve
	ShareActive  ShareState = "active"
	ShareExpired ShareState = "expired"
	ShareRevoked ShareState = "revoked"
	ShareAsking  ShareState = "asking" // received: the owner's side has not answered yet
)

// ShareRequest offers devices to a friend.
type ShareRequest struct {
	Network  string   `json:"network"`
	Devices  []string `json:"devices"` // names, or "tag:NAME"
	Ports    []string `json:"ports"`   // "445/tcp", "60000-61000/udp", "all"
	Exit     bool     `json:"exit"`
	Both     bool     `json:"both"`
	Confirm  bool     `json:"confirm"`
	AcceptBy Seconds  `json:"accept_by"` // 0 is 24 h
	Expires  Seconds  `json:"expires"`   // 0 is never
	Guests   int      `json:"guests"`    // 0 is the default
}

type ShareAnswer struct {
	Schema int    `json:"schema"`
	Link   string `json:"link"` // of one just made
	Share  Share  `json:"share"`
}

type ShareList struct {
	Schema int     `json:"schema"`
	Shares []Share `json:"shares"`
}

// ShareAcceptRequest takes a share into a network of one's own; where there is
// none, one is founded.
type ShareAcceptRequest struct {
	Link    string  `json:"link"`
	Network string  `json:"network"` // the friend's own, "" for the only one
	Label   string  `json:"label"`   // what the owner sees; "" is the device's name
	Wait    Seconds `json:"wait"`    // 0 is 30
}

// ShareIDRequest names a share: its ID's beginning, or its name where that is clear.
type ShareIDRequest struct {
	Network string `json:"network"`
	Share   string `json:"share"`
	Guest   string `json:"guest"`  // of a revocation: this guest alone, by label or address; "" is all
	Guests  int    `json:"guests"` // of a limit: how many of the friend's devices may come
}
