// Package guest holds what sharing devices with a friend is made of (ROSTER.md,
// Guests): the share and its acceptance as the owner's roster has them, the pass
// that a guest shows, the view by which the owner's side proves itself, and the
// checks that either side makes. It is pure: no I/O, and no clock but what it is
// given. It imports the roster and nothing above it.
package guest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/roster"
)

// SID names a share within its network.
type SID [16]byte

// NewSID draws one.
func NewSID() SID {
	var s SID
	rand.Read(s[:])
	return s
}

// String is 32 hex digits: a label, as the roster's keys want.
func (s SID) String() string { return hex.EncodeToString(s[:]) }

// ParseSID reads String's form.
func ParseSID(text string) (s SID, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(s) || SID(b).String() != text {
		return s, fmt.Errorf("share ID %.40q is not 32 hex digits", text)
	}
	return SID(b), nil
}

// Bounds on what a share may ask for.
const (
	PassDefault   = 48 * time.Hour
	PassMost      = 7 * 24 * time.Hour
	ViewMost      = 48 * time.Hour
	GuestsDefault = 16
	GuestsMost    = 64
	TargetsMost   = 16
	PortsMost     = 16

	// Grace is how far clocks may be apart.
	Grace = 10 * time.Minute
)

// What signatures are for.
const (
	tagAccept = "kith share accept 1"
	tagPass   = "kith share pass 1"
	tagCancel = "kith share cancel 1"
	tagView   = "kith share view 1"
	tagAsk    = "kith share ask 1"
	tagDevice = "kith share device 1"
)

// ErrMalformed is bytes that are not in the one form of what they should be.
var ErrMalformed = errors.New("malformed")

var (
	enc = must(cbor.CoreDetEncOptions().EncMode())
	dec = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   6,
		MaxArrayElements:  64,
		MaxMapPairs:       24,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic("guest: codec options: " + err.Error())
	}
	return v
}

// unmarshal refuses all but the form that enc gives back.
func unmarshal(b []byte, v any) error {
	if err := dec.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	again, err := enc.Marshal(v)
	if err != nil || !bytes.Equal(b, again) {
		return fmt.Errorf("%w: not in canonical form", ErrMalformed)
	}
	return nil
}

const signatureSize = 64

// sign is v's encoding and a signature over it.
func sign(by key.Private, tag string, v any) ([]byte, error) {
	b, err := enc.Marshal(v)
	if err != nil {
		return nil, err
	}
	sig := by.Sign(tag, b)
	return append(b, sig[:]...), nil
}

// split parts what sign joined.
func split(raw []byte, most int) (payload, sig []byte, err error) {
	end := len(raw) - signatureSize
	if end < 1 || len(raw) > most {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(raw))
	}
	return raw[:end], raw[end:], nil
}

// Addr is a guest's address in the owner's network.
func Addr(network roster.ID, guest key.Public) Address { return roster.Addr6(network, guest) }
