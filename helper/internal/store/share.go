package store

import (
	"net/netip"
	"time"

	"kith.internal/helper/internal/key"
)

// Issuer is a friend's share that a network has accepted, or is about to, with
// the keys by which its devices get in.
type Issuer struct {
	Network  [32]byte    `cbor:"1,keyasint"` // the friend's
	Share    [16]byte    `cbor:"2,keyasint"`
	Link     string      `cbor:"3,keyasint,omitempty"` // until it is accepted: it holds the link's key
	Key      key.Private `cbor:"4,keyasint"`           // signs passes
	Door     key.Private `cbor:"5,keyasint"`           // lets devices knock
	Label    string      `cbor:"6,keyasint"`           // what the friend is told
	Since    time.Time   `cbor:"7,keyasint"`
	Accepted bool        `cbor:"8,keyasint,omitempty"`
	Name     string      `cbor:"9,keyasint"`  // of what is shared
	Of       string      `cbor:"10,keyasint"` // the name of the friend's network
	Sponsor  string      `cbor:"11,keyasint"` // the device that is asked
	Proof    []byte      `cbor:"12,keyasint,omitempty"`
	Contacts []Contact   `cbor:"13,keyasint,omitempty"`
	Issued   []Issued    `cbor:"14,keyasint,omitempty"`
	Cancels  [][]byte    `cbor:"15,keyasint,omitempty"` // to be told the friend's devices
	Both     bool        `cbor:"17,keyasint,omitempty"` // the link said both ways: what was consented to
	Gone     bool        `cbor:"16,keyasint,omitempty"` // given up, at Since: other admins' devices are told so
	Ended    bool        `cbor:"18,keyasint,omitempty"` // the friend has taken it back: no more passes, and all devices are told so
}

// Issued is the pass that a device of one's own network holds.
type Issued struct {
	Member   key.Public   `cbor:"1,keyasint"`
	Guest    key.Public   `cbor:"2,keyasint"`
	WG       key.Exchange `cbor:"3,keyasint"`
	Control  key.Exchange `cbor:"4,keyasint"`
	N        uint64       `cbor:"5,keyasint"`
	NotAfter int64        `cbor:"6,keyasint"` // Unix seconds
	Stale    int64        `cbor:"7,keyasint"` // when it is to be renewed
}

// Visit is a friend's network that this device is a guest of.
type Visit struct {
	Network [32]byte     `cbor:"1,keyasint"`
	Alias   string       `cbor:"2,keyasint"` // what it goes by here
	Guest   key.Private  `cbor:"3,keyasint"`
	Keys    Keys         `cbor:"4,keyasint"`
	Port    uint16       `cbor:"5,keyasint,omitempty"`
	Shares  []VisitShare `cbor:"6,keyasint,omitempty"`
}

// VisitShare is one share of a friend's.
type VisitShare struct {
	Share    [16]byte    `cbor:"1,keyasint"`
	Door     key.Private `cbor:"2,keyasint"`
	Pass     []byte      `cbor:"3,keyasint,omitempty"` // none yet: it is asked for
	Proof    []byte      `cbor:"4,keyasint,omitempty"`
	Contacts []Contact   `cbor:"5,keyasint,omitempty"`
	Name     string      `cbor:"6,keyasint"`
	Since    time.Time   `cbor:"7,keyasint"`
	Both     bool        `cbor:"9,keyasint,omitempty"` // as Issuer.Both
	Ended    string      `cbor:"8,keyasint,omitempty"` // the code with which the friend's side has ended it
}

// Contact is where a device of the friend's may be found.
type Contact struct {
	Key   key.Public       `cbor:"1,keyasint"`
	Addrs []netip.AddrPort `cbor:"2,keyasint,omitempty"`
}
