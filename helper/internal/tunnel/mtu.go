package tunnel

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.zx2c4.com/wireguard/device"

	"kith.internal/helper/internal/key"
)

// MinMTU is what every path carries: below it IPv6 does not work (RFC 8200 §5).
const MinMTU = 1280

// Packet-too-big messages: at most so many in one span of time, since a sender
// that does not listen goes on.
const (
	tooBigMost = 64
	tooBigSpan = 100 * time.Millisecond
)

// SetMTU says how large a packet may be that goes to the peer, by the path that
// leads there now; 0 is the TUN's own. Larger ones are answered with ICMP, and
// TCP connections agree on segments that fit.
func (t *Tunnel) SetMTU(id key.Public, mtu int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sessions[id]; s != nil {
		if mtu != 0 {
			mtu = max(mtu, MinMTU)
		}
		s.mtu.Store(int32(mtu))
	}
}

// fit looks at a packet for a path that carries mtu bytes. It tells whether the
// packet goes on; one that may be cut on its way does.
func (o *outlet) fit(p []byte, mtu int) bool {
	ClampMSS(p, mtu)
	if len(p) <= mtu {
		return true
	}
	now := time.Now()
	if now.Sub(o.tooBigAt) >= tooBigSpan {
		o.tooBigAt, o.tooBigs = now, 0
	}
	if o.tooBigs++; o.tooBigs > tooBigMost {
		return false
	}
	answer := TooBig(p, mtu)
	if answer == nil {
		return true
	}
	buf := make([]byte, device.MessageTransportHeaderSize, device.MessageTransportHeaderSize+len(answer))
	o.Device.Write([][]byte{append(buf, answer...)}, device.MessageTransportHeaderSize)
	return false
}

// TooBig is the ICMP message that says so to the sender of p, from p's
// destination: RFC 792 and RFC 1191 §4, RFC 4443 §3.2. It is nil for an IPv4
// packet that may be fragmented, and for ICMP errors, which are not answered.
func TooBig(p []byte, mtu int) []byte {
	if p[0]>>4 == 4 {
		if p[6]&0x40 == 0 || p[9] == 1 && p[int(p[0]&15)*4] != byte(ipv4.ICMPTypeEcho) {
			return nil
		}
		src, dst := [4]byte(p[12:16]), [4]byte(p[16:20])
		// The next hop's MTU stands in the second half of the unused word.
		body := append([]byte{3, 4, 0, 0, 0, 0, byte(mtu >> 8), byte(mtu)}, p[:min(len(p), 548)]...)
		binary.BigEndian.PutUint16(body[2:], checksum(body))
		head := []byte{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 1, 0, 0}
		binary.BigEndian.PutUint16(head[2:], uint16(20+len(body)))
		head = append(append(head, dst[:]...), src[:]...)
		binary.BigEndian.PutUint16(head[10:], checksum(head))
		return append(head, body...)
	}
	if p[6] == 58 && p[40] < 128 {
		return nil
	}
	src, dst := netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
	m := icmp.Message{Type: ipv6.ICMPTypePacketTooBig, Body: &icmp.PacketTooBig{MTU: mtu, Data: p[:min(len(p), MinMTU-48)]}}
	body, err := m.Marshal(icmp.IPv6PseudoHeader(dst.AsSlice(), src.AsSlice()))
	if err != nil {
		return nil
	}
	head := make([]byte, 40, 40+len(body))
	head[0], head[6], head[7] = 6<<4, 58, 64
	binary.BigEndian.PutUint16(head[4:], uint16(len(body)))
	copy(head[8:], dst.AsSlice())
	copy(head[24:], src.AsSlice())
	return append(head, body...)
}

// ClampMSS lowers the maximum segment size that a TCP SYN offers (RFC 9293
// §3.7.1) to what mtu leaves room for. The packet is changed in place.
func ClampMSS(p []byte, mtu int) {
	head, room := 40, mtu-60
	switch {
	case p[0]>>4 == 4:
		head, room = int(p[0]&15)*4, mtu-40
		if p[9] != 6 || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return
		}
	case p[6] != 6: // extension headers before TCP are not followed: rare, and PMTU discovery is left
		return
	}
	if len(p) < head+20 || p[head+13]&2 == 0 {
		return
	}
	tcp := p[head:]
	end := min(int(tcp[12]>>4)*4, len(tcp))
	for i := 20; i < end; {
		switch tcp[i] {
		case 0:
			return
		case 1:
			i++
			continue
		}
		if i+1 >= end || tcp[i+1] < 2 || i+int(tcp[i+1]) > end {
			return
		}
		if tcp[i] == 2 && tcp[i+1] == 4 {
			if old := binary.BigEndian.Uint16(tcp[i+2:]); int(old) > room {
				replace(tcp, i+2, uint16(room))
			}
			return
		}
		i += int(tcp[i+1])
	}
}

// replace puts a 16-bit word into a TCP segment and mends the checksum
// (RFC 1624 §3), whichever half of a word the option starts at.
func replace(tcp []byte, at int, word uint16) {
	sum := ^binary.BigEndian.Uint16(tcp[16:])
	add := func(w uint16) {
		s := uint32(sum) + uint32(w)
		sum = uint16(s) + uint16(s>>16)
	}
	turn := func(w uint16) uint16 {
		if at%2 == 1 {
			return w<<8 | w>>8
		}
		return w
	}
	add(^turn(binary.BigEndian.Uint16(tcp[at:])))
	add(turn(word))
	binary.BigEndian.PutUint16(tcp[at:], word)
	binary.BigEndian.PutUint16(tcp[16:], ^sum)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
