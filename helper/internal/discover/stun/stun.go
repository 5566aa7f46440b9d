// Package stun asks STUN servers (RFC 8489) by which address they see us, and
// judges what they say. It knows bytes and addresses alone: who sends them, by
// which socket and how often is its user's business. It imports nothing of ours.
package stun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/pion/stun/v3"
)

const (
	headerSize = 20 // RFC 8489 §5
	// maxMessage is longer than any answer that we have use for.
	maxMessage = 1500
)

var (
	// ErrNotAnswer tells that a datagram is no well-formed answer to a binding
	// request.
	ErrNotAnswer = errors.New("no answer to a STUN binding request")
	// ErrRefused tells that the server answered with an error (RFC 8489 §6.3.4).
	ErrRefused = errors.New("the STUN server refused the binding request")
)

// TxID is a transaction's ID (RFC 8489 §5): who has not seen the request cannot
// make up an answer.
type TxID [stun.TransactionIDSize]byte

// NewTxID draws an ID.
func NewTxID() TxID { return stun.NewTransactionID() }

// Request is a binding request (RFC 8489 §3) of 20 bytes.
func Request(id TxID) []byte {
	b := make([]byte, headerSize)
	binary.BigEndian.PutUint16(b, stun.BindingRequest.Value())
	binary.BigEndian.PutUint32(b[4:], 0x2112A442)
	copy(b[8:], id[:])
	return b
}

// Parse reads the answer to a binding request: by which address its sender saw
// the request come, IPv4 unmapped. The id is given with errors too, where there
// is one: with ErrRefused the transaction has ended. The caller checks that it
// has sent this id to the address that the answer comes from.
func Parse(b []byte) (id TxID, addr netip.AddrPort, err error) {
	if len(b) < headerSize || len(b) > maxMessage || !stun.IsMessage(b) {
		return id, addr, ErrNotAnswer
	}
	copy(id[:], b[8:headerSize])
	if int(binary.BigEndian.Uint16(b[2:]))+headerSize != len(b) {
		return id, addr, ErrNotAnswer
	}
	m := stun.New()
	if err := stun.Decode(b, m); err != nil {
		return id, addr, fmt.Errorf("%w: %w", ErrNotAnswer, err)
	}
	switch m.Type {
	case stun.BindingSuccess:
	case stun.BindingError:
		var code stun.ErrorCodeAttribute
		if err := code.GetFrom(m); err != nil {
			return id, addr, ErrRefused
		}
		return id, addr, fmt.Errorf("%w: code %d", ErrRefused, code.Code)
	default:
		return id, addr, ErrNotAnswer
	}
	// A server of RFC 3489 has the plain attribute alone, which some NATs
	// rewrite: the other one counts where both are.
	var x stun.XORMappedAddress
	if x.GetFrom(m) == nil {
		addr, err = convert(x.IP, x.Port)
		return id, addr, err
	}
	var plain stun.MappedAddress
	if plain.GetFrom(m) == nil {
		addr, err = convert(plain.IP, plain.Port)
		return id, addr, err
	}
	return id, addr, fmt.Errorf("%w: it names no address", ErrNotAnswer)
}

func convert(ip []byte, port int) (netip.AddrPort, error) {
	a, ok := netip.AddrFromSlice(ip)
	if !ok || port < 1 || port > 65535 {
		return netip.AddrPort{}, fmt.Errorf("%w: it names no address", ErrNotAnswer)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(port)), nil
}
