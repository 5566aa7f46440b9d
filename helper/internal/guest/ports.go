package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Address is an overlay address.
type Address = netip.Addr

// Protocols by their numbers (IANA).
const (
	TCP = 6
	UDP = 17
)

// Port is a port, or a range of them, of one protocol.
type Port struct {
	_     struct{} `cbor:",toarray"`
	Proto uint8
	First uint16
	Last  uint16
}

// String is "445/tcp" or "60000-61000/udp".
func (p Port) String() string {
	s := strconv.Itoa(int(p.First))
	if p.Last != p.First {
		s += "-" + strconv.Itoa(int(p.Last))
	}
	if p.Proto == UDP {
		return s + "/udp"
	}
	return s + "/tcp"
}

func (p Port) valid() bool {
	return (p.Proto == TCP || p.Proto == UDP) && p.First != 0 && p.First <= p.Last
}

// Ports are what a share opens; an empty list is all of them.
type Ports []Port

// NoPorts is the list that opens none: of a share of an exit node alone. No
// packet is for port 0.
var NoPorts = Ports{{Proto: TCP}}

// None tells whether that is what p is.
func (p Ports) None() bool { return slices.Equal(p, NoPorts) }

// Strings are the ports one by one, "all" for all, "none" for none.
func (p Ports) Strings() []string {
	switch {
	case len(p) == 0:
		return []string{"all"}
	case p.None():
		return []string{"none"}
	}
	out := make([]string, len(p))
	for i, q := range p {
		out[i] = q.String()
	}
	return out
}

// ParsePorts reads "445/tcp", "60000-61000/udp", "53" for both protocols, or
// "all" or "none" alone.
func ParsePorts(list []string) (Ports, error) {
	if len(list) == 1 {
		switch list[0] {
		case "all":
			return nil, nil
		case "none":
			return NoPorts, nil
		}
	}
	var out Ports
	for _, s := range list {
		ps, err := parsePort(s)
		if err != nil {
			return nil, err
		}
		out = append(out, ps...)
	}
	if len(out) == 0 {
		return nil, errors.New("say which ports, or all")
	}
	slices.SortFunc(out, comparePorts)
	out = slices.Compact(out)
	if len(out) > PortsMost {
		return nil, fmt.Errorf("a share has at most %d ports or ranges", PortsMost)
	}
	return out, nil
}

func parsePort(s string) (Ports, error) {
	bad := fmt.Errorf("%.40q is not a port such as 445/tcp, 60000-61000/udp or all", s)
	numbers, proto, named := strings.Cut(s, "/")
	first, last, ranged := strings.Cut(numbers, "-")
	if !ranged {
		last = first
	}
	a, err1 := strconv.ParseUint(first, 10, 16)
	b, err2 := strconv.ParseUint(last, 10, 16)
	p := Port{First: uint16(a), Last: uint16(b)}
	var protos []uint8
	switch {
	case err1 != nil || err2 != nil:
		return nil, bad
	case !named:
		protos = []uint8{TCP, UDP}
	case strings.EqualFold(proto, "tcp"):
		protos = []uint8{TCP}
	case strings.EqualFold(proto, "udp"):
		protos = []uint8{UDP}
	}
	var out Ports
	for _, p.Proto = range protos {
		if !p.valid() {
			return nil, bad
		}
		out = append(out, p)
	}
	if out == nil {
		return nil, bad
	}
	return out, nil
}

func comparePorts(a, b Port) int {
	return slices.Compare([]uint16{uint16(a.Proto), a.First, a.Last}, []uint16{uint16(b.Proto), b.First, b.Last})
}

func (p Ports) valid() bool {
	return p.None() || len(p) <= PortsMost && slices.IsSortedFunc(p, comparePorts) &&
		!slices.ContainsFunc(p, func(q Port) bool { return !q.valid() })
}

// Pack is the ports as links have them: protocol, first and last port in five
// bytes each.
func (p Ports) Pack() []byte {
	var b []byte
	for _, q := range p {
		b = append(b, q.Proto)
		b = binary.BigEndian.AppendUint16(b, q.First)
		b = binary.BigEndian.AppendUint16(b, q.Last)
	}
	return b
}

// UnpackPorts reads Pack's form.
func UnpackPorts(b []byte) (Ports, error) {
	var p Ports
	for ; len(b) >= 5; b = b[5:] {
		p = append(p, Port{Proto: b[0], First: binary.BigEndian.Uint16(b[1:]), Last: binary.BigEndian.Uint16(b[3:])})
	}
	if len(b) > 0 || !p.valid() {
		return nil, fmt.Errorf("ports: %w", ErrMalformed)
	}
	return p, nil
}
