package guest

import (
	"fmt"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// Share is the value of share/SID: what is offered, and to how many.
type Share struct {
	Key       key.Public   `cbor:"1,keyasint"` // the link's: who holds it may accept, once
	Name      string       `cbor:"2,keyasint"` // of what is shared, for people
	Sponsor   key.Public   `cbor:"3,keyasint"` // takes the acceptance
	Devices   []key.Public `cbor:"4,keyasint,omitempty"`
	Tags      []string     `cbor:"5,keyasint,omitempty"`
	Ports     Ports        `cbor:"6,keyasint,omitempty"` // none is all
	AcceptBy  int64        `cbor:"7,keyasint"`           // ms
	Expires   int64        `cbor:"8,keyasint,omitzero"`  // ms; 0 never
	PassMax   int64        `cbor:"9,keyasint"`           // ms
	MaxGuests uint16       `cbor:"10,keyasint"`
	Exit      bool         `cbor:"11,keyasint,omitzero"` // the targets may be used as exit nodes
	Both      bool         `cbor:"12,keyasint,omitzero"` // the targets may open connections too
	Confirm   bool         `cbor:"13,keyasint,omitzero"` // an acceptance counts once the owner has approved it
}

// Encode is the value of share/SID.
func (s *Share) Encode() ([]byte, error) {
	if err := s.valid(); err != nil {
		return nil, err
	}
	return enc.Marshal(s)
}

// DecodeShare reads Encode's form.
func DecodeShare(b []byte) (*Share, error) {
	s := new(Share)
	if err := unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	return s, s.valid()
}

func (s *Share) valid() error {
	bad := func(what string) error { return fmt.Errorf("share: %w: %s", ErrMalformed, what) }
	switch {
	case s.Key.IsZero() || s.Sponsor.IsZero():
		return bad("a key is missing")
	case roster.ValidLabel(s.Name) != nil:
		return bad("its name is no label")
	case len(s.Devices)+len(s.Tags) == 0 || len(s.Devices)+len(s.Tags) > TargetsMost:
		return bad("no devices, or too many")
	case slices.ContainsFunc(s.Tags, func(t string) bool { return roster.ValidLabel(t) != nil }):
		return bad("a tag is no label")
	case !s.Ports.valid():
		return bad("ports")
	case s.AcceptBy <= 0 || s.Expires < 0 || s.AcceptBy > roster.MaxClock || s.Expires > roster.MaxClock:
		return bad("a time is out of range")
	case s.PassMax <= 0 || s.PassMax > PassMost.Milliseconds():
		return bad("a pass's longest life")
	case s.MaxGuests == 0 || s.MaxGuests > GuestsMost:
		return bad("the number of guests")
	}
	return nil
}

// Ended tells whether the share's time is over.
func (s *Share) Ended(now time.Time) bool {
	return s.Expires != 0 && now.After(time.UnixMilli(s.Expires).Add(Grace))
}

// Late tells whether it can be accepted no more.
func (s *Share) Late(now time.Time) bool { return now.After(time.UnixMilli(s.AcceptBy).Add(Grace)) }

// Has tells whether the share is of a member's.
func (s *Share) Has(m *roster.Member) bool {
	return m != nil && (slices.Contains(s.Devices, m.Key) ||
		slices.ContainsFunc(s.Tags, func(t string) bool { return slices.Contains(m.Tags, t) }))
}

// Acceptance is what the friend's admin sends: Sign_L over the network, the
// share, the issuer's key, the door's and the label. The door is a key that the
// friend's devices alone hold: whoever else got the link cannot go on knocking.
type Acceptance struct {
	Issuer key.Public `cbor:"1,keyasint"`
	Door   key.Public `cbor:"2,keyasint"`
	Label  string     `cbor:"3,keyasint"` // what the friend calls itself: unverified
	Sig    [64]byte   `cbor:"4,keyasint"`
}

const acceptanceMost = 512

func (a *Acceptance) message(network roster.ID, sid SID) []byte {
	b := make([]byte, 0, 112+len(a.Label))
	b = append(append(b, network[:]...), sid[:]...)
	b = append(append(b, a.Issuer[:]...), a.Door[:]...)
	return append(b, a.Label...)
}

// Accept makes an acceptance with the link's key.
func Accept(link key.Private, network roster.ID, sid SID, issuer, door key.Public, label string) ([]byte, error) {
	a := Acceptance{Issuer: issuer, Door: door, Label: label}
	a.Sig = link.Sign(tagAccept, a.message(network, sid))
	if err := a.valid(); err != nil {
		return nil, err
	}
	return enc.Marshal(&a)
}

// DecodeAcceptance reads Accept's form; see Verify for its signature.
func DecodeAcceptance(b []byte) (*Acceptance, error) {
	if len(b) > acceptanceMost {
		return nil, fmt.Errorf("acceptance: %w: %d bytes", ErrMalformed, len(b))
	}
	a := new(Acceptance)
	if err := unmarshal(b, a); err != nil {
		return nil, fmt.Errorf("acceptance: %w", err)
	}
	return a, a.valid()
}

func (a *Acceptance) valid() error {
	if a.Issuer.IsZero() || a.Door.IsZero() || a.Issuer == a.Door {
		return fmt.Errorf("acceptance: %w: a key is missing", ErrMalformed)
	}
	if err := roster.ValidLabel(a.Label); err != nil {
		return fmt.Errorf("acceptance: %w: its label: %w", ErrMalformed, err)
	}
	return nil
}

// Verify tells whether the link's key has signed it.
func (a *Acceptance) Verify(link key.Public, network roster.ID, sid SID) bool {
	return link.Verify(tagAccept, a.message(network, sid), a.Sig[:])
}

// By is the value of share/SID/by: who has accepted.
type By struct {
	Acceptance
	At       int64 `cbor:"5,keyasint"` // ms
	Approved bool  `cbor:"6,keyasint,omitzero"`
}

// Encode is the value of share/SID/by.
func (b *By) Encode() ([]byte, error) { return enc.Marshal(b) }

// DecodeBy reads Encode's form.
func DecodeBy(raw []byte) (*By, error) {
	b := new(By)
	if err := unmarshal(raw, b); err != nil {
		return nil, fmt.Errorf("acceptance: %w", err)
	}
	return b, b.valid()
}

// Deny is the value of share/SID/deny: whom the owner has put out, or all.
type Deny struct {
	All    bool         `cbor:"1,keyasint,omitzero"`
	Guests []key.Public `cbor:"2,keyasint,omitempty"`

	// Devices are the same guests under any keys, as the friend's admins know them.
	Devices []Device `cbor:"3,keyasint,omitempty"`
}

// Encode is the value of share/SID/deny.
func (d *Deny) Encode() ([]byte, error) { return enc.Marshal(d) }

// DecodeDeny reads Encode's form.
func DecodeDeny(raw []byte) (*Deny, error) {
	d := new(Deny)
	if err := unmarshal(raw, d); err != nil {
		return nil, fmt.Errorf("denial: %w", err)
	}
	return d, nil
}
