package ipc

// Severity orders health entries.
type Severity string

const (
	SeverityInfo    Severity = "info"
	SeverityWarning Severity = "warning"
	SeverityError   Severity = "error"
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
	HealthRelayPort     = "relay-port-taken"    // args: port, by (a network of this device's)
	HealthNearbyTries   = "nearby-tries"        // three devices nearby were not let in, so the network closed to its LAN
	HealthRelayHidden   = "relay-unreachable"   // no member reaches this relay from outside; args: addr
	HealthRelayLies     = "relay-lies"          // args: device
	HealthForwardDrops  = "forwarder-drops"     // args: device
	HealthRelayOther    = "relay-other-key"     // somebody else answers for a relay; args: device
	HealthPortal        = "captive-portal"      // the network here wants a sign-in; args: by
	HealthPortalOpen    = "portal-open"         // names and web pages go past Kith; args: until
	HealthPolicy        = "policy-unreadable"   // args: why, by
	HealthExitBlocked   = "exit-blocked"        // internet traffic is blocked; args: device, why (offline, gone, not-approved, refuses, failed, unshared, forbidden)
	HealthExitLeaks     = "exit-leaks"          // what keeps traffic from going around the exit node is not in place; args: why
	HealthRouteConflict = "route-conflict"      // args: route, with
	HealthNotPassing    = "not-passing"         // this device offers an exit or a route and cannot pass traffic on; args: why
	HealthSTUNLies      = "stun-lies"           // a configured server says another address of ours than all others do; args: server
)

// Check is one row of "kith diag".
type Check struct {
	Code    CheckCode         `json:"code"`
	Network string            `json:"network"` // alias, or "" for the host's
	OK      bool              `json:"ok"`
	NA      bool              `json:"na"` // it does not apply, or nothing is known yet; OK is true then
	Text    string            `json:"text"`
	Detail  string            `json:"detail"`
	Found   []Finding         `json:"found"` // the detail in parts; never null, empty where it has none
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
	CheckKeptOut   CheckCode = "keptout" // what came in by the wire and was dropped; never fails
)

type Diag struct {
	Schema int     `json:"schema"`
	Checks []Check `json:"checks"`
}
