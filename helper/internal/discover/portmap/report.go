package portmap

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Method is a protocol by which a gateway is asked.
type Method int

const (
	None Method = iota
	PCP
	NATPMP
	UPnP
)

func (m Method) String() string {
	switch m {
	case PCP:
		return "PCP"
	case NATPMP:
		return "NAT-PMP"
	case UPnP:
		return "UPnP"
	}
	return "none"
}

// Gateway is what is known of one gateway, for one address of ours.
type Gateway struct {
	Interface   string
	Index       int
	Addr, Local netip.Addr // without zones
	Method      Method     // that is in use
	Mappings    []Mapping
	Err         error // of the last attempt; nil: all was granted, or no answer is due yet
	Complaints  []Complaint
}

// Mapping is a port that a gateway lets through.
type Mapping struct {
	Internal uint16
	External netip.AddrPort
	Expires  time.Time
}

// ComplaintKind is what a gateway did wrong.
type ComplaintKind int

const (
	// FromElsewhere: what would have been a good answer came from another
	// address, and did not count.
	FromElsewhere ComplaintKind = iota
	// WrongMapping: it answered about another mapping than it was asked for.
	WrongMapping
	// Implausible: it named an outside address that cannot be one.
	Implausible
	// BadLease: it granted a time too short to be of use.
	BadLease
	// LongLease: it granted more time than is asked for or trusted.
	LongLease
	// ForeignURL: its UPnP description points to another host.
	ForeignURL
	// Redirected: it sent us on from its UPnP.
	Redirected
	// TooLarge: it sent more than such an answer can need.
	TooLarge
	// Malformed: its answer could not be read.
	Malformed
	// Restarted: it forgot what it had granted.
	Restarted

	complaintKinds // how many there are
)

func (k ComplaintKind) String() string {
	return [...]string{
		"answers come from another address", "answers are about other mappings", "outside address is impossible", "lease is too short", "lease is too long",
		"description points to another host", "redirects", "answer is too large", "answer is malformed", "forgot its mappings",
	}[k]
}

// Complaint is something that a gateway did wrong; Detail is the latest case.
type Complaint struct {
	Kind   ComplaintKind
	Detail string
	Count  int
}

// ErrSilent tells that a gateway does not answer.
var ErrSilent = errors.New("the gateway does not answer")

// ErrNotOffered tells that a gateway answers but has no such service.
var ErrNotOffered = errors.New("the gateway offers no port mapping")

// Refusal is a gateway's refusal with the code of its protocol.
type Refusal struct {
	Method Method
	Code   int
	After  time.Duration // how long it stands, where the gateway tells
}

func (r *Refusal) Error() string {
	text := refusals[r.Method][r.Code]
	if text == "" {
		text = "refused"
	}
	return fmt.Sprintf("%v: %s (code %d)", r.Method, text, r.Code)
}

// refusals are from RFC 6887 §7.4, RFC 6886 §3.5 and WANIPConnection:2 §2.5.
var refusals = map[Method]map[int]string{
	PCP: {
		1: "version not supported", 2: "not authorized", 3: "request called malformed", 4: "opcode not supported", 5: "option not supported",
		6: "option called malformed", 7: "network failure", 8: "no resources", 9: "protocol not supported", 10: "quota exceeded",
		11: "outside address cannot be provided", 12: "another NAT is between us and the gateway", 13: "too many peers",
	},
	NATPMP: {1: "version not supported", 2: "not authorized", 3: "the gateway has no connection", 4: "no resources", 5: "opcode not supported"},
	UPnP: {
		401: "action unknown", 402: "arguments called invalid", 501: "action failed", 606: "not authorized", 714: "no such mapping", 715: "source must be given",
		716: "outside port must be given", 718: "port taken", 724: "ports must be the same", 725: "only permanent mappings", 728: "no ports left",
		729: "port taken otherwise", 732: "wildcard not permitted",
	},
}

func (g Gateway) clone() Gateway {
	g.Mappings = slices.Clone(g.Mappings)
	g.Complaints = slices.Clone(g.Complaints)
	return g
}

func (g Gateway) compare(o Gateway) int {
	return cmp.Or(cmp.Compare(g.Index, o.Index), g.Addr.Compare(o.Addr), g.Local.Compare(o.Local))
}
