package engine

import (
	"kith.internal/helper/internal/frame"
	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
	"kith.internal/helper/internal/store"
	"kith.internal/ipc"
)

// note is what members of the friend's network say to one another about shares,
// and those of the owner's. Any of its fields may be set.
type note struct {
	Offer   *offer        `cbor:"1,keyasint,omitempty"`  // of an admin's: ask me for a pass
	Ask     []byte        `cbor:"2,keyasint,omitempty"`  // a device's answer to that
	Grant   *grant        `cbor:"3,keyasint,omitempty"`  // the pass
	Issuer  *store.Issuer `cbor:"4,keyasint,omitempty"`  // between admins: all that is needed to do the same
	Drop    *offer        `cbor:"5,keyasint,omitempty"`  // the share was given up
	Proof   *proofNote    `cbor:"6,keyasint,omitempty"`  // of the owner's admins, to shared devices that sign none
	Seen    *seenNote     `cbor:"7,keyasint,omitempty"`  // of shared devices, to the owner's admins
	Refused *refusedNote  `cbor:"9,keyasint,omitempty"`  // of shared devices and sponsors, to the owner's admins
	Over    *offer        `cbor:"10,keyasint,omitempty"` // the share was taken back: who was away hears it from an admin's device
	Got     *offer        `cbor:"8,keyasint,omitempty"`  // a device's word that it has a pass, or knows what else was said: that may get lost
}

type offer struct {
	Network [32]byte `cbor:"1,keyasint"` // the friend's
	Share   [16]byte `cbor:"2,keyasint"`
}

type grant struct {
	Network  [32]byte        `cbor:"1,keyasint"`
	Share    [16]byte        `cbor:"2,keyasint"`
	Of       string          `cbor:"3,keyasint"` // the name of the friend's network
	Name     string          `cbor:"4,keyasint"`
	Door     key.Private     `cbor:"5,keyasint"`
	Pass     []byte          `cbor:"6,keyasint"`
	Proof    []byte          `cbor:"7,keyasint"`
	Contacts []store.Contact `cbor:"8,keyasint,omitempty"`
	Both     bool            `cbor:"9,keyasint,omitempty"` // as store.Issuer has it
}

type proofNote struct {
	Share [16]byte `cbor:"1,keyasint"`
	Proof []byte   `cbor:"2,keyasint"`
}

type seenNote struct {
	Pass []byte `cbor:"1,keyasint"`
	At   int64  `cbor:"2,keyasint"`
}

// issuersMost bounds the friends' shares that a network has accepted.
const issuersMost = 64

func (n *network) say(to key.Public, m note) bool {
	raw, err := frame.Marshal(m)
	if err != nil || n.on == nil {
		return false
	}
	return n.on.replica.Note(to, raw)
}

// heardNote follows what a member says to this device alone.
func (n *network) heardNote(from key.Public, raw []byte) {
	var m note
	if frame.Unmarshal(raw, &m) != nil || n.book.View().Member(from) == nil {
		return
	}
	admin := n.book.View().Caps(from)&roster.CapShare != 0
	switch {
	case m.Ask != nil:
		n.answerAsk(from, m.Ask)
	case m.Seen != nil:
		n.heardSeen(from, m.Seen)
	case m.Refused != nil:
		n.heardRefused(from, m.Refused)
	case m.Got != nil:
		if n.issuer(m.Got.Network, m.Got.Share) != nil {
			n.got[handing{from, m.Got.Share}] = true
		}
	case !admin: // what follows is an admin's to say
	case m.Offer != nil:
		n.answerOffer(from, *m.Offer)
	case m.Grant != nil:
		if n.takeGrant(*m.Grant) {
			n.say(from, note{Got: &offer{m.Grant.Network, m.Grant.Share}})
		}
	case m.Issuer != nil:
		n.takeIssuer(from, *m.Issuer)
	case m.Drop != nil:
		if n.issuer(m.Drop.Network, m.Drop.Share) != nil {
			n.bury(m.Drop.Network, m.Drop.Share)
		}
		if w := n.visitOf(m.Drop.Network); w != nil && shareOf(w, m.Drop.Share) != nil {
			n.dropVisit(m.Drop.Network, m.Drop.Share)
		}
		n.say(from, note{Got: m.Drop})
	case m.Over != nil:
		n.say(from, note{Got: m.Over})
		n.ended(m.Over.Network, m.Over.Share, ipc.CodeShareRevoked)
	case m.Proof != nil:
		n.takeProof(*m.Proof)
	}
}
