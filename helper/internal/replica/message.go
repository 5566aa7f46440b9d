package replica

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// message is what travels on a replication stream; any of its fields may be
// set. Whoever finds that the digests differ sends its bucket hashes; whoever
// gets bucket hashes sends the IDs in those that differ; whoever gets IDs sends
// the records that are not among them. Both sides do the same, so that each
// ends up with what the other has.
type message struct {
	Hello    *hello      `cbor:"1,keyasint,omitempty"`
	Digest   []byte      `cbor:"2,keyasint,omitempty"`
	Buckets  [][]byte    `cbor:"3,keyasint,omitempty"` // 256 hashes
	IDs      []bucketIDs `cbor:"4,keyasint,omitempty"`
	Records  [][]byte    `cbor:"5,keyasint,omitempty"`  // revocations with their references first
	Presence [][]byte    `cbor:"6,keyasint,omitempty"`  // signed
	Epoch    []byte      `cbor:"7,keyasint,omitempty"`  // the discovery secret
	Who      [][]byte    `cbor:"8,keyasint,omitempty"`  // devices whose presence is asked for
	Notes    [][]byte    `cbor:"9,keyasint,omitempty"`  // for the neighbour alone, see Note
	Hops     uint8       `cbor:"10,keyasint,omitempty"` // how much further Who may go

	patient bool // admissions for all neighbours, which others are about to tell, too
}

// isNews tells whether the message is records and presence alone.
func (m *message) isNews() bool {
	return len(m.Records)+len(m.Presence) > 0 && m.Hello == nil && m.Digest == nil && m.Buckets == nil && m.IDs == nil &&
		m.Epoch == nil && m.Who == nil && m.Notes == nil
}

// size is about how many bytes of news it has.
func (m *message) size() (n int) {
	for _, list := range [][][]byte{m.Records, m.Presence} {
		for _, b := range list {
			n += len(b)
		}
	}
	return n
}

// hello opens a stream, from both sides.
type hello struct {
	Digest []byte `cbor:"1,keyasint"`
	Clock  int64  `cbor:"2,keyasint"`           // the sender's, in milliseconds
	Epoch  []byte `cbor:"3,keyasint,omitempty"` // hash of the discovery secret it holds
}

// bucketIDs lists the records that the sender has in one bucket.
type bucketIDs struct {
	Bucket uint8  `cbor:"1,keyasint"`
	IDs    []byte `cbor:"2,keyasint"` // 32 bytes each
}

// Presence is what a device says of itself: short-lived, signed by it, never in
// the roster.
type Presence struct {
	Device    key.Public       `cbor:"1,keyasint"`
	Seq       int64            `cbor:"2,keyasint"` // the device's clock in milliseconds; the highest counts
	Endpoints []netip.AddrPort `cbor:"3,keyasint,omitempty"`
	OS        string           `cbor:"4,keyasint,omitempty"`
	No4       bool             `cbor:"5,keyasint,omitempty"` // its IPv4 overlay address is out of use
	No6       bool             `cbor:"6,keyasint,omitempty"` // likewise IPv6
	Asks      []Ask            `cbor:"7,keyasint,omitempty"`
	Gone      bool             `cbor:"8,keyasint,omitempty"` // it is stopping

	Neighbours []Neighbour `cbor:"9,keyasint,omitempty"`  // whom it reaches without help, the most useful first
	NoForward  bool        `cbor:"10,keyasint,omitempty"` // it passes nothing on
	NAT        NAT         `cbor:"11,keyasint,omitempty"`
	Relays     bool        `cbor:"12,keyasint,omitempty"` // it offers to be a relay; the roster has to approve

	Exit   bool           `cbor:"13,keyasint,omitempty"` // likewise an exit node
	Routes []netip.Prefix `cbor:"14,keyasint,omitempty"` // likewise the way to these
	Carry  bool           `cbor:"15,keyasint,omitempty"` // it passes guests' packets on
}

// Neighbour is a member that a device reaches without help.
type Neighbour struct {
	ID  key.Public `cbor:"1,keyasint"`
	RTT uint32     `cbor:"2,keyasint"` // milliseconds, at least 1
}

// NAT is what stands between a device and others.
type NAT uint8

const (
	NATUnknown NAT = iota
	NATNone        // others see its own address
	NATEasy        // all see one address and port
	NATHard        // each sees another port
	NATBlocked     // no UDP gets out
)

// Ask is something that a plain device asks an admin for.
type Ask struct {
	Kind    string       `cbor:"1,keyasint"`           // AskRename…
	Name    string       `cbor:"2,keyasint,omitempty"` // the new name
	WG      key.Exchange `cbor:"3,keyasint"`           // new keys
	Control key.Exchange `cbor:"4,keyasint"`
	N       uint64       `cbor:"5,keyasint,omitempty"`
	Pop     []byte       `cbor:"6,keyasint,omitempty"` // as in an admit record
	Relay   []byte       `cbor:"7,keyasint,omitempty"` // the value of the relay's approval

	Routes []netip.Prefix `cbor:"8,keyasint,omitempty"` // to be the way to
}

// Kinds of Ask.
const (
	AskRename = "rename"
	AskRenew  = "renew"
	AskRelay  = "relay"
	AskExit   = "exit"
	AskRoute  = "route"
)

// Bounds on what a device may say of itself.
const (
	maxEndpoints = 32
	maxAsks      = 8

	// MaxRoutes is how many subnets a device is the way to.
	MaxRoutes = 32
	maxRelay  = 1 << 10

	// MaxNeighbours is how many a device names.
	MaxNeighbours = 16
	maxPresence   = 4 << 10
)

// presenceAhead is how far ahead of our clock the number of a presence may be.
const presenceAhead = 12 * time.Hour

// PresenceTTL is how long a presence counts without a newer one.
const PresenceTTL = 30 * time.Minute

const presenceTag = "kith presence 1"

type signedPresence struct {
	Body []byte `cbor:"1,keyasint"`
	Sig  []byte `cbor:"2,keyasint"`
}

func signPresence(network roster.ID, k key.Private, p Presence) ([]byte, error) {
	body, err := frame.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode presence: %w", err)
	}
	sig := k.Sign(presenceTag, append(network[:], body...))
	return frame.Marshal(signedPresence{Body: body, Sig: sig[:]})
}

var (
	errPresence  = errors.New("presence is malformed")
	errSignature = fmt.Errorf("%w: bad signature", errPresence)
)

// openPresence checks a presence's form and signature.
func openPresence(network roster.ID, raw []byte) (Presence, error) {
	p, s, err := readPresence(raw)
	if err == nil && !p.verify(network, s) {
		err = errSignature
	}
	return p, err
}

func (p *Presence) verify(network roster.ID, s signedPresence) bool {
	return p.Device.Verify(presenceTag, append(network[:], s.Body...), s.Sig)
}

// readPresence checks its form alone.
func readPresence(raw []byte) (p Presence, s signedPresence, err error) {
	if len(raw) > maxPresence {
		return p, s, errPresence
	}
	if err := frame.Unmarshal(raw, &s); err != nil {
		return p, s, fmt.Errorf("%w: %v", errPresence, err)
	}
	if err := frame.Unmarshal(s.Body, &p); err != nil {
		return p, s, fmt.Errorf("%w: %v", errPresence, err)
	}
	if len(p.Endpoints) > maxEndpoints || len(p.Asks) > maxAsks || len(p.OS) > 32 || p.Seq < 0 ||
		len(p.Neighbours) > MaxNeighbours || !plainPrefixes(p.Routes) {
		return p, s, errPresence
	}
	for _, a := range p.Asks {
		if len(a.Name) > 63 || len(a.Pop) > 64 || len(a.Relay) > maxRelay || !plainPrefixes(a.Routes) {
			return p, s, errPresence
		}
	}
	return p, s, nil
}

// plainPrefixes tells whether a device may say that it leads there.
func plainPrefixes(list []netip.Prefix) bool {
	return len(list) <= MaxRoutes && !slices.ContainsFunc(list, func(p netip.Prefix) bool {
		return !p.IsValid() || p.Masked() != p || p.Bits() == 0 || p.Addr().Is4In6() || p.Addr().Zone() != ""
	})
}
