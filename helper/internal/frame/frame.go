// Package frame reads and writes the messages of control streams: a four-byte
// big-endian length, then strict CBOR (RFC 8949 §4.2.1). It is a leaf.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"
)

// Max is the size of the largest message, in bytes.
const Max = 1 << 20

// ErrTooLarge is a message beyond its limit.
var ErrTooLarge = errors.New("message too large")

var (
	enc = must(cbor.CoreDetEncOptions().EncMode())
	dec = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorNone, // later versions may add fields
		MaxArrayElements:  1 << 16,
		MaxMapPairs:       1 << 10,
		MaxNestedLevels:   8,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Marshal is v in deterministic CBOR.
func Marshal(v any) ([]byte, error) { return enc.Marshal(v) }

// Unmarshal reads CBOR from a peer into v, with bounds on its shape.
func Unmarshal(b []byte, v any) error { return dec.Unmarshal(b, v) }

// Write sends v as one message.
func Write(w io.Writer, v any) error {
	body, err := enc.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(body) > Max {
		return fmt.Errorf("send message of %d bytes: %w", len(body), ErrTooLarge)
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), uint32(len(body)))
	_, err = w.Write(append(b, body...))
	return err
}

// Read receives one message of at most limit bytes into v. Memory grows with
// what arrives, not with what the length promises.
func Read(r io.Reader, limit int, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > int64(min(limit, Max)) {
		return fmt.Errorf("receive message of %d bytes: %w", n, ErrTooLarge)
	}
	body, err := io.ReadAll(io.LimitReader(r, n))
	if err != nil {
		return err
	}
	if int64(len(body)) < n {
		return io.ErrUnexpectedEOF
	}
	if err := dec.Unmarshal(body, v); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	return nil
}

// Clean makes a peer's words fit for a terminal and a log.
func Clean(s string) string {
	out := make([]rune, 0, 200)
	for _, r := range s {
		if len(out) == 200 {
			break
		}
		if r < 0x20 || r >= 0x7f {
			r = '?'
		}
		out = append(out, r)
	}
	return string(out)
}
