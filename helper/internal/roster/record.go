package roster

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"kith.internal/helper/internal/key"
)

// Type tells what a record says.
type Type uint8

// Types of format 1.
const (
	TypeGenesis Type = iota + 1
	TypeGrant
	TypeInvite
	TypeAdmit
	TypeRevoke
	TypeSet
	TypeLeave
)

var typeNames = [...]string{"", "genesis", "grant", "invite", "admit", "revoke", "set", "leave"}

func (t Type) String() string {
	if t == 0 || int(t) >= len(typeNames) {
		return fmt.Sprintf("type %d", uint8(t))
	}
	return typeNames[t]
}

// leaf tells whether records of the type may be no record's prev.
func (t Type) leaf() bool { return t == TypeSet || t == TypeLeave }

// Record is one signed statement. It is immutable.
type Record struct {
	Type    Type
	Network ID // the genesis' own ID in a genesis
	Author  key.Public
	Prev    ID // zero in a genesis alone
	Clock   uint64
	Body    Body
	ID      ID
	Raw     []byte // payload and signature, as stored and sent
}

// Body is what a record says: *Genesis, *Grant, *Invite, *Admit, *Revoke,
// *Setting or *Leave.
type Body interface{ recordType() Type }

// Genesis founds a network; its author is the root key.
type Genesis struct {
	Name  string   `cbor:"1,keyasint"`
	Nonce [16]byte `cbor:"2,keyasint"`
}

// Grant gives a key authority below the granter's.
type Grant struct {
	Subject  key.Public `cbor:"1,keyasint"`
	Caps     Caps       `cbor:"2,keyasint,omitzero"`
	Tags     []string   `cbor:"3,keyasint,omitempty"` // that it may give; AllTags for any
	Prefixes []string   `cbor:"4,keyasint,omitempty"` // of the set keys that it may write
}

// Invite lets whoever holds its key be admitted.
type Invite struct {
	Key     key.Public `cbor:"1,keyasint"`
	Sponsor key.Public `cbor:"2,keyasint,omitzero"` // who admits by it; zero with Any
	Any     bool       `cbor:"3,keyasint,omitzero"`
	Uses    uint64     `cbor:"4,keyasint,omitzero"` // 0 with Any alone
	Expires uint64     `cbor:"5,keyasint"`          // ms
	Tags    []string   `cbor:"6,keyasint,omitempty"`
}

// Admit makes a device a member.
type Admit struct {
	Device    key.Public   `cbor:"1,keyasint"`
	WG        key.Exchange `cbor:"2,keyasint"`
	Control   key.Exchange `cbor:"3,keyasint"`
	N         uint64       `cbor:"4,keyasint"` // counts the device's key pairs, from 1
	Pop       [64]byte     `cbor:"5,keyasint"` // see SignPop
	Name      string       `cbor:"6,keyasint"`
	IP        uint16       `cbor:"7,keyasint,omitzero"` // index in Range4, 0 for none
	Tags      []string     `cbor:"8,keyasint,omitempty"`
	Expires   uint64       `cbor:"9,keyasint,omitzero"` // ms
	Invite    ID           `cbor:"10,keyasint,omitzero"`
	InviteSig [64]byte     `cbor:"11,keyasint,omitzero"` // see SignInvite
}

// Revoke ends a device with all its authority (Key), or a grant or an invite
// alone (Record). What it lists in Keep, with its ancestors, stays.
type Revoke struct {
	Key    key.Public `cbor:"1,keyasint,omitzero"`
	Record ID         `cbor:"2,keyasint,omitzero"`
	Keep   []ID       `cbor:"3,keyasint,omitempty"` // strictly ascending
}

// Setting gives a set key a value; no value clears it.
type Setting struct {
	Key   string `cbor:"1,keyasint"`
	Value []byte `cbor:"2,keyasint,omitempty"`
}

// Leave ends a plain device's own membership.
type Leave struct{}

func (*Genesis) recordType() Type { return TypeGenesis }
func (*Grant) recordType() Type   { return TypeGrant }
func (*Invite) recordType() Type  { return TypeInvite }
func (*Admit) recordType() Type   { return TypeAdmit }
func (*Revoke) recordType() Type  { return TypeRevoke }
func (*Setting) recordType() Type { return TypeSet }
func (*Leave) recordType() Type   { return TypeLeave }

func newBody(t Type) Body {
	switch t {
	case TypeGenesis:
		return new(Genesis)
	case TypeGrant:
		return new(Grant)
	case TypeInvite:
		return new(Invite)
	case TypeAdmit:
		return new(Admit)
	case TypeRevoke:
		return new(Revoke)
	case TypeSet:
		return new(Setting)
	case TypeLeave:
		return new(Leave)
	}
	return nil
}

// ErrSignature says that a signature does not verify.
var ErrSignature = errors.New("bad signature")

func (r *Record) payload() []byte { return r.Raw[:len(r.Raw)-signatureSz] }

// signature is one to verify: by whom, under which tag, over what.
type signature struct {
	by  key.Public
	tag string
	msg []byte
	sig []byte
}

// signatures are those that the record alone shows: the author's, and an
// admission's proof of possession.
func (r *Record) signatures() []signature {
	list := make([]signature, 1, 3)
	list[0] = signature{r.Author, tagSign, r.payload(), r.Raw[len(r.Raw)-signatureSz:]}
	if a, ok := r.Body.(*Admit); ok {
		list = append(list, signature{a.Device, tagPop, popMessage(r.Network, a.Device, a.WG, a.Control, a.N), a.Pop[:]})
	}
	return list
}

// Verify checks the author's signature and an admission's proof of possession.
// An invite's signature needs the invite, so Set.Add checks it.
func (r *Record) Verify() error {
	for _, s := range r.signatures() {
		if !s.by.Verify(s.tag, s.msg, s.sig) {
			return fmt.Errorf("%s %s: %w of %s", r.Type, r.ID.Short(), ErrSignature, s.by.Short())
		}
	}
	return nil
}

func idOf(payload []byte) ID {
	h := sha256.New()
	h.Write([]byte(tagID))
	h.Write([]byte{0})
	h.Write(payload)
	return ID(h.Sum(nil))
}

// SignPop is a device's proof of possession: that it wants these keys, its n-th,
// in this network.
func SignPop(network ID, device key.Private, wg, control key.Exchange, n uint64) [64]byte {
	return device.Sign(tagPop, popMessage(network, device.Public(), wg, control, n))
}

// VerifyPop checks SignPop's proof.
func VerifyPop(network ID, device key.Public, wg, control key.Exchange, n uint64, pop [64]byte) bool {
	return device.Verify(tagPop, popMessage(network, device, wg, control, n), pop[:])
}

func popMessage(network ID, device key.Public, wg, control key.Exchange, n uint64) []byte {
	b := make([]byte, 0, 136)
	b = append(append(append(append(b, network[:]...), device[:]...), wg[:]...), control[:]...)
	for s := 56; s >= 0; s -= 8 {
		b = append(b, byte(n>>s))
	}
	return b
}

// SignInvite proves that the device with this WireGuard key holds the invite.
func SignInvite(invite key.Private, id ID, device key.Public, wg key.Exchange) [64]byte {
	return invite.Sign(tagInvite, inviteMessage(id, device, wg))
}

// VerifyInvite checks SignInvite's proof.
func VerifyInvite(invite key.Public, id ID, device key.Public, wg key.Exchange, sig [64]byte) bool {
	return invite.Verify(tagInvite, inviteMessage(id, device, wg), sig[:])
}

func inviteMessage(id ID, device key.Public, wg key.Exchange) []byte {
	b := make([]byte, 0, 96)
	return append(append(append(b, id[:]...), device[:]...), wg[:]...)
}
