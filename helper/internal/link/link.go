// Package link owns the two kinds of links that people hand to one another:
// invites (kith://join/) and shares (kith://share/). It is pure: it does no
// I/O, reads no clock, and must not import the roster, the store or the wire.
//
// A link is its prefix and the unpadded base64url (RFC 4648 §5) of a version
// byte, a deterministic CBOR map (RFC 8949 §4.2.1) and a 4-byte checksum: the
// start of SHA-256(kind ‖ 0 ‖ version byte ‖ map). Each link has exactly one
// spelling.
package link

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"kith.internal/helper/internal/key"
)

// MaxLen bounds a link, prefix included, so that it fits a QR code and one
// line of a chat.
const MaxLen = 600

// MaxHost bounds Relay.Host: a DNS name of 253 characters, a colon, a port.
const MaxHost = 259

const (
	scheme    = "kith://"
	kindJoin  = "join"
	kindShare = "share"
	version   = 1
)

// ErrTooLong is Encode's: names and ports alone are more than MaxLen.
var ErrTooLong = errors.New("the link would be too long")

// What Parse's errors wrap.
var (
	ErrMalformed = errors.New("not a whole Kith link")
	ErrVersion   = errors.New("link of another version of Kith")
	ErrKind      = errors.New("link of another kind")
)

// Join invites one device, or several, into a network. Expires has whole
// seconds; whether it has passed is for the caller to judge.
type Join struct {
	Network        [32]byte // the genesis' ID
	Name           string   // the network's name, a label
	Invite         key.Private
	Expires        time.Time
	Sponsor        key.Public
	SponsorName    string // a label
	SponsorControl key.Exchange
	Endpoints      []netip.AddrPort // where the sponsor may be, most useful first, without zones
	Relays         []Relay
}

// MaxPorts bounds Share.Ports.
const MaxPorts = 80

// Share lets a friend's devices be guests of a network. What it says of ports
// and times is a preview: the owner's roster decides.
type Share struct {
	Network        [32]byte
	NetworkName    string // the owner's network, a label
	ID             [16]byte
	Name           string // what is shared, a label: the first device
	More           uint8  // how many more devices
	Ports          []byte // as package guest packs them
	Exit           bool
	Both           bool
	Confirm        bool
	Ends           time.Time // of the share, zero for never
	Key            key.Private
	Expires        time.Time // to be accepted by then
	Sponsor        key.Public
	SponsorName    string
	SponsorControl key.Exchange
	Endpoints      []netip.AddrPort
	Relays         []Relay
}

// Relay is how to reach a relay of the network without asking DNS.
type Relay struct {
	Key     key.Public
	Control key.Exchange
	Pin     [32]byte         // of its TLS key; zero if it has none
	Host    string           // HOST:PORT as advertised, "" if it has no name
	Addrs   []netip.AddrPort // every address of it
}

// Encode spells the link. Where not all endpoints and relays fit it leaves
// out the least useful; addresses that mean nothing elsewhere (loopback,
// multicast, unspecified) never go in.
func (j *Join) Encode() (string, error) {
	return encode(kindJoin, &body{
		Network: j.Network, Name: j.Name, Secret: j.Invite, Expires: j.Expires.Unix(),
		Sponsor: j.Sponsor, SponsorName: j.SponsorName, Control: j.SponsorControl,
	}, j.Endpoints, j.Relays)
}

// Encode spells the link, as Join.Encode does.
func (s *Share) Encode() (string, error) {
	if s.ID == [16]byte{} {
		return "", errors.New("encode share link: no share ID")
	}
	b := &body{
		Network: s.Network, Name: s.NetworkName, Secret: s.Key, Expires: s.Expires.Unix(),
		Sponsor: s.Sponsor, SponsorName: s.SponsorName, Control: s.SponsorControl,
		Share: s.ID, ShareName: s.Name, Ports: s.Ports, More: s.More,
	}
	if !s.Ends.IsZero() {
		b.Ends = s.Ends.Unix()
	}
	for flag, on := range map[uint8]bool{flagExit: s.Exit, flagBoth: s.Both, flagConfirm: s.Confirm} {
		if on {
			b.Flags |= flag
		}
	}
	return encode(kindShare, b, s.Endpoints, s.Relays)
}

// Parse reads a link: the answer is a *Join or a *Share. White space around
// it is ignored. Errors wrap ErrMalformed, ErrVersion or ErrKind.
func Parse(s string) (any, error) {
	s = strings.TrimSpace(s)
	kind, b, err := decode(s)
	if err != nil {
		return nil, err
	}
	endpoints, relays, err := b.contacts()
	if err != nil {
		return nil, malformed("%v", err)
	}
	if kind == kindShare {
		l := &Share{
			Network: b.Network, NetworkName: b.Name, ID: b.Share, Name: b.ShareName, Key: b.Secret,
			Expires: time.Unix(b.Expires, 0).UTC(), Sponsor: b.Sponsor, SponsorName: b.SponsorName,
			SponsorControl: b.Control, Endpoints: endpoints, Relays: relays,
			More: b.More, Ports: b.Ports, Exit: b.Flags&flagExit != 0, Both: b.Flags&flagBoth != 0, Confirm: b.Flags&flagConfirm != 0,
		}
		if b.Ends != 0 {
			l.Ends = time.Unix(b.Ends, 0).UTC()
		}
		return only(l, s)
	}
	l := &Join{
		Network: b.Network, Name: b.Name, Invite: b.Secret,
		Expires: time.Unix(b.Expires, 0).UTC(), Sponsor: b.Sponsor, SponsorName: b.SponsorName,
		SponsorControl: b.Control, Endpoints: endpoints, Relays: relays,
	}
	return only(l, s)
}

// only refuses a link that we would have spelt otherwise: what is not
// canonical CBOR, or holds fields of the other kind, ends here.
func only[L interface{ Encode() (string, error) }](l L, s string) (any, error) {
	again, err := l.Encode()
	if err != nil {
		return nil, malformed("%v", err)
	}
	if again != s {
		return nil, malformed("not spelt canonically")
	}
	return l, nil
}

// ParseJoin is Parse for where only an invite will do.
func ParseJoin(s string) (*Join, error) { return parseAs[*Join](s) }

// ParseShare is Parse for where only a share will do.
func ParseShare(s string) (*Share, error) { return parseAs[*Share](s) }

func parseAs[L any](s string) (l L, err error) {
	v, err := Parse(s)
	if err != nil {
		return l, err
	}
	l, ok := v.(L)
	if !ok {
		return l, ErrKind
	}
	return l, nil
}
