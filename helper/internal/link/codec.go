package link

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"kith.internal/helper/internal/key"
)

// body is the CBOR map of either kind.
type body struct {
	Network     [32]byte     `cbor:"1,keyasint"`
	Name        string       `cbor:"2,keyasint"`
	Secret      key.Private  `cbor:"3,keyasint"`
	Expires     int64        `cbor:"4,keyasint"` // Unix seconds
	Sponsor     key.Public   `cbor:"5,keyasint"`
	SponsorName string       `cbor:"6,keyasint"`
	Control     key.Exchange `cbor:"7,keyasint"`
	Endpoints   [][]byte     `cbor:"8,keyasint,omitempty"`
	Relays      []relay      `cbor:"9,keyasint,omitempty"`
	Share       [16]byte     `cbor:"10,keyasint,omitzero"`
	ShareName   string       `cbor:"11,keyasint,omitempty"`
	Ports       []byte       `cbor:"12,keyasint,omitempty"`
	Flags       uint8        `cbor:"13,keyasint,omitzero"`
	Ends        int64        `cbor:"14,keyasint,omitzero"` // Unix seconds
	More        uint8        `cbor:"15,keyasint,omitzero"`
}

// Flags of a share.
const (
	flagExit = 1 << iota
	flagBoth
	flagConfirm
	flagsKnown = flagExit | flagBoth | flagConfirm
)

// relay leaves its keys out where it is the sponsor itself, the common case:
// they are 68 bytes of the 436 there are.
type relay struct {
	Key     key.Public   `cbor:"1,keyasint,omitzero"`
	Control key.Exchange `cbor:"2,keyasint,omitzero"`
	Pin     [32]byte     `cbor:"3,keyasint,omitzero"`
	Host    string       `cbor:"4,keyasint,omitempty"`
	Addrs   [][]byte     `cbor:"5,keyasint,omitempty"`
}

const checksumLen = 4

var encoding = base64.RawURLEncoding.Strict()

var encMode, decMode = func() (cbor.EncMode, cbor.DecMode) {
	enc, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic("link: " + err.Error())
	}
	dec, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		MaxNestedLevels:   4,
		MaxArrayElements:  64,
		MaxMapPairs:       16,
	}.DecMode()
	if err != nil {
		panic("link: " + err.Error())
	}
	return enc, dec
}()

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func checksum(kind string, b []byte) [checksumLen]byte {
	h := sha256.New()
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write(b)
	return [checksumLen]byte(h.Sum(nil))
}

// spell is the link for b, however long.
func spell(kind string, b *body) (string, error) {
	m, err := encMode.Marshal(b)
	if err != nil {
		return "", err
	}
	raw := append([]byte{version}, m...)
	sum := checksum(kind, raw)
	return scheme + kind + "/" + encoding.EncodeToString(append(raw, sum[:]...)), nil
}

func decode(s string) (kind string, b *body, err error) {
	rest, ok := strings.CutPrefix(s, scheme)
	if !ok {
		return "", nil, malformed("it does not start with %s", scheme)
	}
	kind, text, ok := strings.Cut(rest, "/")
	switch {
	case !ok:
		return "", nil, malformed("it ends early")
	case kind != kindJoin && kind != kindShare:
		return "", nil, ErrKind
	case len(s) > MaxLen:
		return "", nil, malformed("longer than %d characters", MaxLen)
	case strings.ContainsAny(text, "\r\n"): // the decoder skips them
		return "", nil, malformed("more than one line")
	}
	raw, err := encoding.DecodeString(text)
	if err != nil {
		return "", nil, malformed("a character is not of a link")
	}
	end := len(raw) - checksumLen
	if end < 1 {
		return "", nil, malformed("it ends early")
	}
	// The checksum is the same in all versions, so a slip of the pen is told
	// from a newer version.
	if checksum(kind, raw[:end]) != [checksumLen]byte(raw[end:]) {
		return "", nil, malformed("a part is missing or altered")
	}
	if raw[0] != version {
		return "", nil, fmt.Errorf("%w: %d, not %d", ErrVersion, raw[0], version)
	}
	b = new(body)
	if err := decMode.Unmarshal(raw[1:end], b); err != nil {
		return "", nil, malformed("%v", err)
	}
	return kind, b, nil
}

// check holds for both directions.
func (b *body) check(kind string) error {
	switch {
	case b.Network == [32]byte{}:
		return errors.New("no network ID")
	case !isLabel(b.Name):
		return errors.New("the network's name is not a label")
	case b.Secret.IsZero():
		return errors.New("no key")
	case b.Expires <= 0 || b.Expires >= 1<<40:
		return errors.New("no expiry")
	case b.Sponsor.IsZero() || b.Control.IsZero():
		return errors.New("no sponsor")
	case !isLabel(b.SponsorName):
		return errors.New("the sponsor's name is not a label")
	case kind == kindShare && !isLabel(b.ShareName):
		return errors.New("the share's name is not a label")
	case len(b.Ports) > MaxPorts || b.Flags&^flagsKnown != 0 || b.Ends < 0 || b.Ends >= 1<<40:
		return errors.New("what is shared is out of range")
	}
	return nil
}

// contacts gives back the forms that encode was given.
func (b *body) contacts() ([]netip.AddrPort, []Relay, error) {
	endpoints, err := fromWire(b.Endpoints)
	if err != nil {
		return nil, nil, err
	}
	var relays []Relay
	for _, w := range b.Relays {
		addrs, err := fromWire(w.Addrs)
		if err != nil {
			return nil, nil, err
		}
		r := Relay{Key: w.Key, Control: w.Control, Pin: w.Pin, Host: w.Host, Addrs: addrs}
		if r.Key.IsZero() && r.Control.IsZero() {
			r.Key, r.Control = b.Sponsor, b.Control
		}
		relays = append(relays, r)
	}
	return endpoints, relays, nil
}

// toWire is the 4 or 16 bytes of the address and 2 of the port.
func toWire(a netip.AddrPort) []byte {
	return binary.BigEndian.AppendUint16(a.Addr().AsSlice(), a.Port())
}

func fromWire(ws [][]byte) ([]netip.AddrPort, error) {
	var out []netip.AddrPort
	for _, w := range ws {
		if len(w) != 6 && len(w) != 18 {
			return nil, errors.New("an address has a wrong length")
		}
		ip, _ := netip.AddrFromSlice(w[:len(w)-2])
		out = append(out, netip.AddrPortFrom(ip, binary.BigEndian.Uint16(w[len(w)-2:])))
	}
	return out, nil
}

// clean leaves what another host can use, each once, in the same order.
func clean(in []netip.AddrPort) []netip.AddrPort {
	var out []netip.AddrPort
	for _, a := range in {
		ip := a.Addr().Unmap().WithZone("")
		a = netip.AddrPortFrom(ip, a.Port())
		if !ip.IsValid() || a.Port() == 0 || ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() || slices.Contains(out, a) {
			continue
		}
		out = append(out, a)
	}
	return out
}

// isLabel tells a lower-case DNS label (RFC 1035 §2.3.1, digits may lead).
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// isHost tells what may stand in a relay's Host; it reaches logs and menus.
func isHost(s string) bool {
	if len(s) > MaxHost {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._:[]", rune(c)) {
			return false
		}
	}
	return true
}
