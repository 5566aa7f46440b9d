package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
)

// The inside of a control datagram, big-endian:
//
//	type 1 ‖ flags 1 ‖ sender's boot 8 ‖ recipient's boot 8 ‖ counter 8 ‖
//	body length 2 ‖ body ‖ zeros up to the padding
//
// A boot ID is drawn at random when a wire starts. The recipient's is what the
// sender takes it to be, 0 if it does not know.
//
// Bodies:
//
//	ping        transaction 8
//	pong        transaction 8 ‖ the address that the ping came from, over UDP ‖
//	            packets 4 that have come the same way
//	word        nothing: the flags are the message
//	candidates  addresses at which the sender may be reached; bits 5 and 6 of
//	            the length are the NAT before it
//	fragment    packet 4 ‖ index 1 ‖ count 1 ‖ piece of a QUIC packet
//	forward     a frame, see there
//	piece       frame 4 ‖ index 1 ‖ count 1 ‖ piece of a frame's body
//	unreachable a frame without its datagram
//	token       what binds it to a stream
//	meet        nothing: the sender has opened ports, which are to be looked for
//
// Frames and their pieces have counters of their own, and no padding: what they
// carry has.
//
// An address is its length 1 (4 or 16) ‖ IP ‖ port 2, without zone; none is
// three zeros.
type kind uint8

const (
	kindPing kind = 1 + iota
	kindPong
	kindWord
	kindCandidates
	kindFragment
	kindForward
	kindPiece
	kindUnreachable
	kindToken
	kindMeet
)

// flags are the sender's control word: what it wants and has now.
type flags uint8

const (
	flagWant flags = 1 << iota // it wants a WireGuard session with us
	flagHave                   // its WireGuard has us configured
	flagAsk                    // it does not know our candidates
)

type boot uint64

const (
	innerHeader = 28
	maxBody     = maxDatagram - overhead - innerHeader

	maxToldCandidates = 32
)

var errMalformed = errors.New("malformed control datagram")

// header is the part of a control datagram that all kinds have.
type header struct {
	kind    kind
	flags   flags
	from    boot
	to      boot
	counter uint64
}

// appendInner appends header and body, not padded.
func appendInner(b []byte, h header, body []byte) []byte {
	return append(appendHeader(b, h, len(body)), body...)
}

func appendHeader(b []byte, h header, body int) []byte {
	b = append(b, byte(h.kind), byte(h.flags))
	b = binary.BigEndian.AppendUint64(b, uint64(h.from))
	b = binary.BigEndian.AppendUint64(b, uint64(h.to))
	b = binary.BigEndian.AppendUint64(b, h.counter)
	return binary.BigEndian.AppendUint16(b, uint16(body))
}

// parseInner reads what appendInner wrote. The body is a part of b. Padding
// that is not zero is refused, so that there is one form of each datagram.
func parseInner(b []byte) (h header, body []byte, err error) {
	if len(b) < innerHeader {
		return h, nil, errMalformed
	}
	h = header{
		kind:    kind(b[0]),
		flags:   flags(b[1]),
		from:    boot(binary.BigEndian.Uint64(b[2:])),
		to:      boot(binary.BigEndian.Uint64(b[10:])),
		counter: binary.BigEndian.Uint64(b[18:]),
	}
	n := int(binary.BigEndian.Uint16(b[26:]))
	rest := b[innerHeader:]
	if n > len(rest) || h.from == 0 {
		return h, nil, errMalformed
	}
	for _, c := range rest[n:] {
		if c != 0 {
			return h, nil, errMalformed
		}
	}
	return h, rest[:n], nil
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	ip := a.Addr().WithZone("")
	b = append(b, byte(ip.BitLen()/8))
	b = append(b, ip.AsSlice()...)
	return binary.BigEndian.AppendUint16(b, a.Port())
}

func parseAddr(b []byte) (a netip.AddrPort, rest []byte, err error) {
	if len(b) == 0 {
		return a, nil, errMalformed
	}
	n := int(b[0])
	if n != 4 && n != 16 || len(b) < 1+n+2 {
		return a, nil, errMalformed
	}
	ip, _ := netip.AddrFromSlice(b[1 : 1+n])
	if ip.Is4In6() {
		return a, nil, errMalformed
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(b[1+n:])), b[1+n+2:], nil
}

// told is a candidate as its owner names it.
type told struct {
	addr netip.AddrPort
	nat  NAT
}

// natBits stand in an address's length: one more for each kind.
const (
	natShift = 5
	natBits  = 3 << natShift
)

func appendTold(b []byte, all []told) []byte {
	for _, t := range all[:min(len(all), maxToldCandidates)] {
		at := len(b)
		b = appendAddr(b, t.addr)
		b[at] |= byte(t.nat) << natShift
	}
	return b
}

func parseTold(b []byte) ([]told, error) {
	var all []told
	for len(b) > 0 {
		nat := NAT(b[0] & natBits >> natShift)
		b[0] &^= natBits
		a, rest, err := parseAddr(b)
		if err != nil || len(all) == maxToldCandidates {
			return nil, errMalformed
		}
		all, b = append(all, told{a, nat}), rest
	}
	return all, nil
}

func parsePing(b []byte) (txid uint64, err error) {
	if len(b) != 8 {
		return 0, errMalformed
	}
	return binary.BigEndian.Uint64(b), nil
}

func parsePong(b []byte) (txid uint64, seen netip.AddrPort, came uint32, err error) {
	if len(b) < 8 {
		return 0, seen, 0, errMalformed
	}
	rest, none := bytes.CutPrefix(b[8:], []byte{0, 0, 0})
	if !none {
		seen, rest, err = parseAddr(b[8:])
	}
	if err != nil || len(rest) != 4 {
		return 0, seen, 0, errMalformed
	}
	return binary.BigEndian.Uint64(b), seen, binary.BigEndian.Uint32(rest), nil
}
