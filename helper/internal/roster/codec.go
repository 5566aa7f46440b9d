package roster

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"kith.internal/helper/internal/key"
)

// ErrMalformed says that bytes are no record in the one canonical form.
var ErrMalformed = errors.New("malformed record")

// ErrNewer says that a record's version or type is above what this build knows.
var ErrNewer = errors.New("record of a newer format")

// envelope is the signed payload. Keys from 8 on are left for later versions,
// among them a post-quantum author key.
type envelope struct {
	Version uint64          `cbor:"1,keyasint"`
	Type    uint64          `cbor:"2,keyasint"`
	Network ID              `cbor:"3,keyasint,omitzero"`
	Author  key.Public      `cbor:"4,keyasint"`
	Prev    ID              `cbor:"5,keyasint,omitzero"`
	Clock   uint64          `cbor:"6,keyasint"`
	Body    cbor.RawMessage `cbor:"7,keyasint"`
}

// header is what every version shares.
type header struct {
	Version uint64 `cbor:"1,keyasint"`
	Type    uint64 `cbor:"2,keyasint"`
}

var (
	encMode = must(cbor.CoreDetEncOptions().EncMode())
	decMode = must(decOptions(cbor.ExtraDecErrorUnknownField).DecMode())
	peek    = must(decOptions(cbor.ExtraDecErrorNone).DecMode())
)

func decOptions(extra cbor.ExtraDecErrorCond) cbor.DecOptions {
	return cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		MaxNestedLevels:   4,
		MaxArrayElements:  2048,
		MaxMapPairs:       16,
		ExtraReturnErrors: extra,
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("roster: codec options: " + err.Error())
	}
	return v
}

// marshal encodes deterministically (RFC 8949 §4.2.1).
func marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// unmarshal decodes b and refuses all but the form that marshal gives back:
// other orders, lengths, unknown keys and zero values that should be absent.
func unmarshal(b []byte, v any) error {
	if err := decMode.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	again, err := marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if !bytes.Equal(b, again) {
		return fmt.Errorf("%w: not in canonical form", ErrMalformed)
	}
	return nil
}

// Decode reads a record. It checks form alone; see Verify for signatures.
// Errors are ErrMalformed or ErrNewer. The record keeps raw.
func Decode(raw []byte) (*Record, error) {
	if len(raw) <= signatureSz || len(raw) > MaxLarge {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(raw))
	}
	payload := raw[:len(raw)-signatureSz]
	var e envelope
	if err := decMode.Unmarshal(payload, &e); err != nil || e.Version != Version || e.Type > uint64(TypeLeave) {
		var h header
		if peek.Unmarshal(payload, &h) == nil && (h.Version > Version || h.Version == Version && h.Type > uint64(TypeLeave)) {
			return nil, fmt.Errorf("%w: version %d, type %d", ErrNewer, h.Version, h.Type)
		}
		return nil, fmt.Errorf("%w: payload: %v", ErrMalformed, err)
	}
	r := &Record{
		Type: Type(e.Type), Network: e.Network, Author: e.Author, Prev: e.Prev,
		Clock: e.Clock, Body: newBody(Type(e.Type)), ID: idOf(payload), Raw: raw,
	}
	if r.Body == nil {
		return nil, fmt.Errorf("%w: type %d", ErrMalformed, e.Type)
	}
	if err := unmarshal(e.Body, r.Body); err != nil {
		return nil, fmt.Errorf("%s: %w", r.Type, err)
	}
	again, err := marshal(&e)
	if err != nil || !bytes.Equal(payload, again) {
		return nil, fmt.Errorf("%w: payload not in canonical form", ErrMalformed)
	}
	if err := r.form(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, r.Type, err)
	}
	if r.Type == TypeGenesis {
		r.Network = r.ID
	}
	return r, nil
}

// IsAdmit tells whether a record says that it is an admission, which withdraws
// nothing from anybody. Its form and signature are not looked at.
func IsAdmit(raw []byte) bool {
	var h header
	return len(raw) > signatureSz && peek.Unmarshal(raw[:len(raw)-signatureSz], &h) == nil && Type(h.Type) == TypeAdmit
}

// Sign makes a record. The network and prev are zero for a genesis.
func Sign(author key.Private, network, prev ID, clock uint64, body Body) (*Record, error) {
	b, err := marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", body.recordType(), err)
	}
	payload, err := marshal(&envelope{
		Version: Version, Type: uint64(body.recordType()), Network: network,
		Author: author.Public(), Prev: prev, Clock: clock, Body: b,
	})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", body.recordType(), err)
	}
	sig := author.Sign(tagSign, payload)
	return Decode(append(payload, sig[:]...))
}
