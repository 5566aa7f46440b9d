package ipc

import (
	"net/netip"
	"time"
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

// PingCount is the most echoes that can be asked for.
const PingCount = 10_000

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
