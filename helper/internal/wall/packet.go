package wall

import (
	"encoding/binary"
	"net/netip"
)

// Protocols (IANA), and what is told apart of ICMPv6.
const (
	protoNone  = 0 // nothing that a guest may send
	protoTCP   = 6
	protoUDP   = 17
	protoEcho  = 58
	protoError = 255
)

const (
	header6   = 40
	icmpv6    = 58
	tcpSYN    = 0x02
	tcpACK    = 0x10
	echoAsk   = 128
	echoReply = 129
	errorMost = 4 // ICMPv6 types 1 to 4 are errors (RFC 4443 §2.1)
)

// packet is what is looked at of an IPv6 packet.
type packet struct {
	src, dst netip.Addr
	proto    uint8
	from, to uint16
	begins   bool // a TCP connection
	request  bool // an echo request
	about    flow // of an error: what it is about, as its sender saw that come in
}

// parse reads a packet; false for what is no whole IPv6 packet. Extension headers
// and fragments are protoNone: guests do without.
func parse(b []byte) (p packet, ok bool) {
	if len(b) < header6 || b[0]>>4 != 6 {
		return p, false
	}
	p.src, p.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	next, rest := b[6], b[header6:]
	switch {
	case next == protoTCP && len(rest) >= 20:
		p.proto, p.from, p.to = protoTCP, binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
		p.begins = rest[13]&(tcpSYN|tcpACK) == tcpSYN
	case next == protoUDP && len(rest) >= 8:
		p.proto, p.from, p.to = protoUDP, binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	case next == icmpv6 && len(rest) >= 8:
		p.icmp(rest)
	}
	return p, true
}

func (p *packet) icmp(b []byte) {
	switch {
	case b[0] == echoAsk || b[0] == echoReply:
		id := binary.BigEndian.Uint16(b[4:])
		p.proto, p.from, p.to, p.request = protoEcho, id, id, b[0] == echoAsk
	case b[0] >= 1 && b[0] <= errorMost:
		p.proto = protoError
		// The packet that it is about went from our neighbour or to it: either way
		// between the two addresses of this one.
		q, ok := parseHead(b[8:])
		if ok && q.src == p.dst && q.dst == p.src {
			// It comes back to who sent it: from is a port of the one it goes to.
			p.about = flow{q.proto, q.from, q.to}
		}
	}
}

// parseHead is parse for the head of a packet in an error: of the transport's
// header the ports alone must be there.
func parseHead(b []byte) (p packet, ok bool) {
	if len(b) < header6+8 || b[0]>>4 != 6 {
		return p, false
	}
	p.src, p.dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	rest := b[header6:]
	switch b[6] {
	case protoTCP, protoUDP:
		p.proto, p.from, p.to = b[6], binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	case icmpv6:
		id := binary.BigEndian.Uint16(rest[4:])
		p.proto, p.from, p.to = protoEcho, id, id
	default:
		return p, false
	}
	return p, true
}

// neighbourOf is the other device's address in what is no whole packet.
func neighbourOf(b []byte, in bool) (a netip.Addr, ok bool) {
	if len(b) < header6 || b[0]>>4 != 6 {
		return a, false
	}
	if in {
		return netip.AddrFrom16([16]byte(b[8:24])), true
	}
	return netip.AddrFrom16([16]byte(b[24:40])), true
}
