// Package ipc holds what travels between the helper and its clients: requests,
// answers, error codes and the protocol's version. It is a leaf: it imports
// nothing of ours, does no I/O and holds no words for people.
package ipc

import (
	"net/netip"
	"time"
)

// Version is the protocol's version. A client and a helper whose versions
// differ still read each other's version and status; all else answers
// CodeVersion.
const Version = 1

// Schema numbers the JSON of Status and of the command line's --json. It only
// grows.
const Schema = 1

// State is the helper's state as a whole.
type State string

const (
	StateOff      State = "off"      // stopped by the user ("down"); lasts over restarts
	StateStarting State = "starting" // a network is being set up
	StateRunning  State = "running"
	StateStopping State = "stopping"
	StateError    State = "error" // the helper runs but can do nothing; see Health
)

// PathKind is how packets reach a peer.
type PathKind string

const (
	PathLAN       PathKind = "lan"       // link-local or on a directly connected prefix
	PathDirect    PathKind = "direct"    // no third device in between
	PathRelayed   PathKind = "relayed"   // through a device with the relay role
	PathForwarded PathKind = "forwarded" // through any other member
	PathNone      PathKind = "none"      // no way known
)

// Transport carries packets on the first part of a path.
type Transport string

const (
	TransportUDP Transport = "udp"
	TransportTLS Transport = "tls" // inside a TLS connection to a relay, over TCP
)

// WhyNot is why a peer is not reached directly.
type WhyNot string

const (
	WhyTrying     WhyNot = "trying"        // for a short time yet
	WhySilent     WhyNot = "silent"        // no address of it answers: a firewall or a NAT in between
	WhyHardNAT    WhyNot = "hard-nat"      // the NAT here has another port for each peer
	WhyHardThere  WhyNot = "hard-nat-peer" // the peer's has
	WhyHardBoth   WhyNot = "hard-nat-both" // both have
	WhyNoUDP      WhyNot = "no-udp"        // UDP does not get out of the network here
	WhyNoUDPThere WhyNot = "no-udp-peer"   // nor out of the peer's
	WhyNoFamily   WhyNot = "no-family"     // one has IPv4 alone, the other IPv6
	WhyNoAddress  WhyNot = "no-address"    // no address of the peer is known
	WhyIdle       WhyNot = "idle"          // nobody has asked for a path
)

// Severity orders health entries.
type Severity string

const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning"
	SeverityError   Severity = "error"
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

// Right is what a caller may do.
type Right string

const (
	RightOperate Right = "operate" // act on networks; see endpoints and traffic
	RightMachine Right = "machine" // name operators
)

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

// Relay is the relay role of this device. Advertised is empty for callers
// without RightOperate.
type Relay struct {
	On         bool     `json:"on"`         // it serves
	Pending    bool     `json:"pending"`    // asked for; an admin has to approve
	Advertised []string `json:"advertised"` // where the others find it: HOST:PORT and IP:PORT
	Listen     string   `json:"listen"`     // what it listens on, "" while it does not serve
}

// Forward is the passing on of others' packets.
type Forward struct {
	On     bool `json:"on"`
	Guests bool `json:"guests"` // friends' packets, too
}

// Peer is another device of the network. Endpoint, RxBytes, TxBytes and
// LastHandshake are null for callers without RightOperate.
type Peer struct {
	Name          string          `json:"name"`
	FQDN          string          `json:"fqdn"`
	IPv4          *netip.Addr     `json:"ipv4"`
	IPv6          *netip.Addr     `json:"ipv6"`
	Online        bool            `json:"online"`
	Active        bool            `json:"active"` // a session exists now; false: path is the one last confirmed
	Path          PathKind        `json:"path"`
	Via           *string         `json:"via"`       // the devices in between, the nearest first, with commas
	Transport     *Transport      `json:"transport"` // of the first part
	Why           *WhyNot         `json:"why"`       // why not lan or direct; null where it is, or nothing is known
	Endpoint      *netip.AddrPort `json:"endpoint"`  // where packets go first
	LatencyMS     *float64        `json:"latency_ms"`
	RxBytes       *uint64         `json:"rx_bytes"`
	TxBytes       *uint64         `json:"tx_bytes"`
	LastHandshake *time.Time      `json:"last_handshake"`
	LastSeen      *time.Time      `json:"last_seen"`
	OS            *string         `json:"os"`
	Tags          []string        `json:"tags"`
	Role          Role            `json:"role"`
	Relay         bool            `json:"relay"` // it has the relay role
	Exit          bool            `json:"exit"`  // it offers to be an exit node and an admin has agreed
	Key           string          `json:"key"`
	AddedBy       string          `json:"added_by"` // the device that let it in, or "root"
}

// Joining is a request to join that has not been answered yet.
type Joining struct {
	Network string    `json:"network"` // name in the link
	ID      string    `json:"id"`
	Sponsor string    `json:"sponsor"` // device name of the sponsor
	Stage   JoinStage `json:"stage"`
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
}

// JoinStage is how far a join has come.
type JoinStage string

const (
	JoinSearching JoinStage = "searching" // looking for the sponsor
	JoinAsking    JoinStage = "asking"    // the sponsor answers
	JoinAdmitted  JoinStage = "admitted"  // the roster is here, the tunnel comes up
)

// Health is one coded warning. It clears itself.
type Health struct {
	Code     string            `json:"code"`
	Severity Severity          `json:"severity"`
	Text     string            `json:"text"`    // English, for logs and the command line
	Network  string            `json:"network"` // alias, or ""
	Args     map[string]string `json:"args"`    // what a translation needs; never null
}

// Health codes.
const (
	HealthIPv4Conflict  = "ipv4-conflict"       // args: with
	HealthIPv4Blocked   = "ipv4-blocked"        // args: rule
	HealthNoIPv6        = "no-ipv6"             // the host has IPv6 switched off
	HealthNoTUN         = "no-tun"              // /dev/net/tun is missing or refused
	HealthPortTaken     = "port-taken"          // args: port, using
	HealthClock         = "clock-wrong"         // args: offset
	HealthDNSOverridden = "dns-overridden"      // args: by
	HealthDNSFailed     = "dns-failed"          // args: why
	HealthPhrase        = "phrase-not-shown"    // the root phrase is still held
	HealthDiskFull      = "disk-full"           // args: why
	HealthRemoved       = "removed"             // args: by
	HealthUpgrade       = "upgrade-required"    // the roster's format is newer
	HealthFork          = "roster-fork"         // args: device
	HealthNoNetwork     = "no-uplink"           // no interface is up
	HealthLANOnly       = "lan-only"            // interfaces are up, and none leads to the internet
	HealthExpiring      = "membership-expiring" // args: at
	HealthRelayPort     = "relay-port-taken"    // args: port
	HealthNearbyTries   = "nearby-tries"        // three devices nearby were not let in, so the network closed to its LAN
	HealthRelayHidden   = "relay-unreachable"   // no member reaches this relay from outside; args: addr
	HealthRelayLies     = "relay-lies"          // args: device
	HealthForwardDrops  = "forwarder-drops"     // args: device
	HealthRelayOther    = "relay-other-key"     // somebody else answers for a relay; args: device
	HealthPortal        = "captive-portal"      // the network here wants a sign-in; args: by
	HealthPortalOpen    = "portal-open"         // names and web pages go past Kith; args: until
	HealthPolicy        = "policy-unreadable"   // args: why, by
	HealthExitBlocked   = "exit-blocked"        // internet traffic is blocked; args: device, why (offline, gone, not-approved, refuses, failed, unshared)
	HealthExitLeaks     = "exit-leaks"          // what keeps traffic from going around the exit node is not in place; args: why
	HealthRouteConflict = "route-conflict"      // args: route, with
	HealthNotPassing    = "not-passing"         // this device offers an exit or a route and cannot pass traffic on; args: why
	HealthSTUNLies      = "stun-lies"           // a configured server says another address of ours than all others do; args: server
)

// Roster, devices, invites.

// Device is one row of "kith device list": members first, then those waiting
// for approval.
type Device struct {
	Name    string      `json:"name"`
	FQDN    string      `json:"fqdn"`
	IPv4    *netip.Addr `json:"ipv4"`
	IPv6    *netip.Addr `json:"ipv6"`
	Role    Role        `json:"role"`
	Tags    []string    `json:"tags"`
	Key     string      `json:"key"`
	Self    bool        `json:"self"`
	Online  bool        `json:"online"`
	Added   *time.Time  `json:"added"`
	AddedBy string      `json:"added_by"` // device name, or "root"
	Expires *time.Time  `json:"expires"`
	Pending *Request    `json:"pending"` // what it asks an admin for, null for none
}

// Request is what a device asks an admin for.
type Request struct {
	Kind  string `json:"kind"`  // "rename", "renew", "relay", "exit", "route"
	Value string `json:"value"` // the new name; where the relay is found; the route
}

type DeviceList struct {
	Schema  int      `json:"schema"`
	Devices []Device `json:"devices"`
}

// Record is one row of "kith roster".
type Record struct {
	ID     string    `json:"id"`
	Type   string    `json:"type"`
	Author string    `json:"author"` // device name or short key; "root"
	Clock  uint64    `json:"clock"`
	Time   time.Time `json:"time"` // the clock read as milliseconds; a hint alone
	Text   string    `json:"text"` // what it says, in one line
	Valid  bool      `json:"valid"`
	Why    string    `json:"why"` // why it counts or not
}

type RosterList struct {
	Schema  int      `json:"schema"`
	Network string   `json:"network"`
	ID      string   `json:"id"`
	Digest  string   `json:"digest"`
	Members int      `json:"members"`
	Records []Record `json:"records"`
}

// Requests name a network by name, alias or ID prefix; "" is the only one.

type CreateRequest struct {
	Name   string `json:"name"`
	Device string `json:"device"` // "" is the host's name
	// ShowPhrase asks for the root phrase in the answer; the helper then
	// forgets it. Else it keeps it until it has been shown once.
	ShowPhrase bool `json:"show_phrase"`
}

type CreateAnswer struct {
	Schema  int     `json:"schema"`
	Network Network `json:"network"`
	Phrase  string  `json:"phrase,omitempty"` // 24 words
}

type InviteRequest struct {
	Network string   `json:"network"`
	Uses    int      `json:"uses"` // 0 is unlimited
	Expires Seconds  `json:"expires"`
	Tags    []string `json:"tags"`
}

type InviteAnswer struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"`
	Link    string    `json:"link"`
	Expires time.Time `json:"expires"`
}

// Seconds is a duration in whole seconds; 0 is the default.
type Seconds int64

// Preview is what a link says, read without sending a packet.
type Preview struct {
	Schema      int       `json:"schema"`
	Kind        string    `json:"kind"` // "join" or "share"
	Network     string    `json:"network"`
	ID          string    `json:"id"`
	Sponsor     string    `json:"sponsor"`
	Fingerprint []string  `json:"fingerprint"` // four words of the network's ID
	Expires     time.Time `json:"expires"`
	Expired     bool      `json:"expired"`
	Known       bool      `json:"known"` // this device is already in that network
	Reach       []string  `json:"reach"` // what it lets one reach; "" for the whole network

	// Of a share's link.
	More    int        `json:"more"`    // how many more devices
	Ports   []string   `json:"ports"`   // "445/tcp", "all"
	Exit    bool       `json:"exit"`    // it may be used as an exit node
	Both    bool       `json:"both"`    // the owner's devices may open connections too
	Confirm bool       `json:"confirm"` // the owner approves once the words were compared
	Ends    *time.Time `json:"ends"`    // when the share ends, null for never
}

type LinkRequest struct {
	Link string `json:"link"`
}

type JoinRequest struct {
	Link   string  `json:"link"`
	Device string  `json:"device"`
	Wait   Seconds `json:"wait"` // 0 is 30
}

// NetworkRequest names a network; for up and down "" is all.
type NetworkRequest struct {
	Network string `json:"network"`
}

// UpRequest connects a network, all for "". Shields null leaves them as they are.
type UpRequest struct {
	Network string `json:"network"`
	Shields *bool  `json:"shields"` // block all that comes in
}

type NetworkAnswer struct {
	Schema  int     `json:"schema"`
	Network Network `json:"network"`
}

type PingRequest struct {
	Network     string `json:"network"`
	Host        string `json:"host"` // name, FQDN or overlay address
	Count       int    `json:"count"`
	UntilDirect bool   `json:"until_direct"`
}

// PingReply is one line of the answer to a ping, one JSON object a line.
type PingReply struct {
	Seq      int             `json:"seq"`
	Addr     netip.Addr      `json:"addr"`
	Name     string          `json:"name"`
	RTTMS    *float64        `json:"rtt_ms"` // null: no answer in time
	Path     PathKind        `json:"path"`
	Via      *string         `json:"via"`
	Why      *WhyNot         `json:"why"`
	Endpoint *netip.AddrPort `json:"endpoint"`
	Done     bool            `json:"done"` // the last line; holds the error if any
	Error    *Error          `json:"error"`
}

type DeviceRequest struct {
	Network string `json:"network"`
	Device  string `json:"device"` // name, FQDN or key prefix; "" is this device where that makes sense
	Name    string `json:"name"`   // the new name, for rename
}

// DeviceAnswer says what became of a change to a device.
type DeviceAnswer struct {
	Schema  int    `json:"schema"`
	Device  string `json:"device"`  // its name now
	Pending bool   `json:"pending"` // asked for; an admin has to approve
	// Dropped names the devices that a revocation took along.
	Dropped []string `json:"dropped"`
}

// RelayRequest makes this device a relay.
type RelayRequest struct {
	Network string `json:"network"`
	// Listen is what TCP and UDP are taken on: "IP:PORT", ":PORT" or "PORT"; ""
	// is port 443 on all addresses.
	Listen string `json:"listen"`
	// Advertise is where the others find it, "HOST:PORT" or "HOST"; "" is this
	// device's own public addresses.
	Advertise string `json:"advertise"`
}

// RelayAnswer says what became of it.
type RelayAnswer struct {
	Schema int   `json:"schema"`
	Relay  Relay `json:"relay"`
}

// ForwardRequest turns the passing on of others' packets on or off.
type ForwardRequest struct {
	Network string `json:"network"`
	On      bool   `json:"on"`
	Guests  *bool  `json:"guests"` // with On: those between friends and what is shared with them, too; null leaves that as it is
}

type ForwardAnswer struct {
	Schema  int     `json:"schema"`
	Forward Forward `json:"forward"`
}

// RecoverRequest uses the root phrase. Exactly one of Show and Phrase is set.
type RecoverRequest struct {
	Network string   `json:"network"`
	Show    bool     `json:"show"`   // give the phrase that is still held, once
	Phrase  string   `json:"phrase"` // make this device an owner
	Cut     []string `json:"cut"`    // owners to cut, names or keys
}

type RecoverAnswer struct {
	Schema  int      `json:"schema"`
	Phrase  string   `json:"phrase,omitempty"`
	Owner   bool     `json:"owner"`
	Dropped []string `json:"dropped"`
}

type OperatorRequest struct {
	User string `json:"user"` // login name or numeric ID
}

type OperatorList struct {
	Schema    int      `json:"schema"`
	Operators []string `json:"operators"`
}

// Check is one row of "kith diag".
type Check struct {
	Code    CheckCode         `json:"code"`
	Network string            `json:"network"` // alias, or "" for the host's
	OK      bool              `json:"ok"`
	NA      bool              `json:"na"` // it does not apply, or nothing is known yet; OK is true then
	Text    string            `json:"text"`
	Detail  string            `json:"detail"`
	Fix     string            `json:"fix"`
	Args    map[string]string `json:"args"` // what a translation of the detail needs; never null
}

// CheckCode names what is checked.
type CheckCode string

const (
	CheckHelper    CheckCode = "helper"
	CheckUplink    CheckCode = "uplink"
	CheckDiscovery CheckCode = "discovery"
	CheckDNS       CheckCode = "dns"
	CheckClock     CheckCode = "clock"
	CheckNetwork   CheckCode = "network"
	CheckPeers     CheckCode = "peers"
	CheckAddresses CheckCode = "addresses"
	CheckUDP       CheckCode = "udp"  // datagrams get out and come back
	CheckIPv4      CheckCode = "ipv4" // a member has been reached by it
	CheckIPv6      CheckCode = "ipv6"
	CheckNAT       CheckCode = "nat"     // args: ipv4, ipv6: none, easy, hard, unknown
	CheckPortMap   CheckCode = "portmap" // the gateway opens a port when asked
	CheckRelays    CheckCode = "relays"  // with latency
	CheckHairpin   CheckCode = "hairpin" // the NAT leads its own address back
	CheckCaptive   CheckCode = "captive" // who answers for our relays is no relay: a sign-in page
	CheckHonest    CheckCode = "honest"  // nobody lies or drops
)

type Diag struct {
	Schema int     `json:"schema"`
	Checks []Check `json:"checks"`
}

// VersionAnswer is readable by clients of every version.
type VersionAnswer struct {
	Protocol int    `json:"protocol"`
	Version  string `json:"version"`
}

// Event is one line of GET /v1/watch. The first holds a snapshot; each later
// one is a delta with the next revision: the networks, joins or health that
// changed, whole. A client that misses a revision connects anew.
type Event struct {
	Rev      uint64      `json:"rev"`
	Snapshot *Status     `json:"snapshot,omitempty"`
	State    *State      `json:"state,omitempty"`
	Networks []Network   `json:"networks,omitempty"` // changed or new, peers included
	Peers    []PeerDelta `json:"peers,omitempty"`    // changed peers of networks not in Networks
	Removed  []string    `json:"removed,omitempty"`  // IDs of networks that are gone
	Joining  *[]Joining  `json:"joining,omitempty"`
	Nearby   *Nearby     `json:"nearby,omitempty"`
	Health   *[]Health   `json:"health,omitempty"`
	Portal   *Portal     `json:"portal,omitempty"`
	May      *[]Right    `json:"may,omitempty"`
}

// PeerDelta is a changed or new peer of a network.
type PeerDelta struct {
	Network string `json:"network"` // ID
	Peer    Peer   `json:"peer"`
}
