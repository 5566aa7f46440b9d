// Package key holds the kinds of keys that a device has, and what is derived
// from them. It is a leaf: it imports nothing of ours and does no I/O.
package key

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base32"
	"fmt"

	"filippo.io/edwards25519"
	"github.com/hdevalence/ed25519consensus"
)

// Public is an Ed25519 public key: of a device, of the root, of an invite.
type Public [32]byte

// Private is an Ed25519 private key as its 32-byte seed (RFC 8032 §5.1.5).
type Private [32]byte

// Exchange is an X25519 public key: WireGuard's or the control channel's
// (RFC 7748 §6.1).
type Exchange [32]byte

// ExchangePrivate is an X25519 private key.
type ExchangePrivate [32]byte

var text = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// String is the key in 52 lower-case base32 digits (RFC 4648 §6).
func (p Public) String() string { return text.EncodeToString(p[:]) }

// Short is the first ten digits of String, for people and logs.
func (p Public) Short() string { return p.String()[:10] }

// IsZero tells whether the key is unset.
func (p Public) IsZero() bool { return p == Public{} }

// Parse reads String's form.
func Parse(s string) (p Public, err error) {
	b, err := text.DecodeString(s)
	if err != nil || len(b) != len(p) {
		return p, fmt.Errorf("parse key %.60q: not 52 base32 digits", s)
	}
	return Public(b), nil
}

// New draws a private key.
func New() Private {
	var p Private
	rand.Read(p[:])
	return p
}

// Public is the public half.
func (p Private) Public() Public {
	return Public(ed25519.NewKeyFromSeed(p[:]).Public().(ed25519.PublicKey))
}

// Signer is the key in the standard library's form, for TLS certificates.
func (p Private) Signer() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(p[:]) }

// Sign signs tag, a zero byte and msg. Tags separate what a signature is for.
func (p Private) Sign(tag string, msg []byte) [64]byte {
	return [64]byte(ed25519.Sign(p.Signer(), tagged(tag, msg)))
}

// Verify checks Sign's signature by the rules of ZIP-215, which all
// implementations agree on.
func (p Public) Verify(tag string, msg []byte, sig []byte) bool {
	return ed25519consensus.Verify(p[:], tagged(tag, msg), sig)
}

func tagged(tag string, msg []byte) []byte {
	b := make([]byte, 0, len(tag)+1+len(msg))
	return append(append(append(b, tag...), 0), msg...)
}

// Exchange is the X25519 key that belongs to the Ed25519 key by the birational
// map of RFC 7748 §4.1. It fails for bytes that are no point.
func (p Public) Exchange() (Exchange, error) {
	pt, err := new(edwards25519.Point).SetBytes(p[:])
	if err != nil {
		return Exchange{}, fmt.Errorf("convert key %s: %w", p.Short(), err)
	}
	return Exchange(pt.BytesMontgomery()), nil
}

// Exchange is the private half of Public.Exchange.
func (p Private) Exchange() ExchangePrivate {
	h := sha512.Sum512(p[:])
	return ExchangePrivate(h[:32])
}

// NewExchange draws an X25519 private key.
func NewExchange() ExchangePrivate {
	var p ExchangePrivate
	rand.Read(p[:])
	p[0] &= 248
	p[31] = p[31]&127 | 64
	return p
}

// Public is the public half.
func (p ExchangePrivate) Public() Exchange {
	k, err := ecdh.X25519().NewPrivateKey(p[:])
	if err != nil {
		panic("key: X25519 private keys are 32 bytes: " + err.Error())
	}
	return Exchange(k.PublicKey().Bytes())
}

// Shared is the X25519 shared secret with q. It fails for a low-order q.
func (p ExchangePrivate) Shared(q Exchange) ([32]byte, error) {
	k, err := ecdh.X25519().NewPrivateKey(p[:])
	if err != nil {
		return [32]byte{}, err
	}
	pub, err := ecdh.X25519().NewPublicKey(q[:])
	if err != nil {
		return [32]byte{}, err
	}
	b, err := k.ECDH(pub)
	if err != nil {
		return [32]byte{}, fmt.Errorf("key exchange: %w", err)
	}
	return [32]byte(b), nil
}

// IsZero tells whether the key is unset.
func (e Exchange) IsZero() bool { return e == Exchange{} }

// IsZero tells whether the key is unset.
func (p Private) IsZero() bool { return p == Private{} }
