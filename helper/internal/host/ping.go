package host

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Protocol numbers (IANA).
const (
	protoICMP4 = 1
	protoICMP6 = 58
)

// Ping sends one ICMP echo request (RFC 792, RFC 4443 §4) from src to dst
// through the host's stack, so through the TUN, and waits for its answer.
func (Host) Ping(ctx context.Context, src, dst netip.Addr, seq int) (time.Duration, error) {
	network, proto := "ip6:ipv6-icmp", protoICMP6
	var request icmp.Type = ipv6.ICMPTypeEchoRequest
	var reply icmp.Type = ipv6.ICMPTypeEchoReply
	if dst.Is4() {
		network, proto, request, reply = "ip4:icmp", protoICMP4, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	}
	c, err := icmp.ListenPacket(network, src.String())
	if err != nil {
		return 0, fmt.Errorf("open an ICMP socket: %w", err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Now()) })
	defer stop()

	var id [2]byte
	rand.Read(id[:])
	body := &icmp.Echo{ID: int(binary.BigEndian.Uint16(id[:])), Seq: seq & 0xffff, Data: []byte("kith ping")}
	m := icmp.Message{Type: request, Body: body}
	b, err := m.Marshal(nil) // the kernel fills in ICMPv6's checksum
	if err != nil {
		return 0, fmt.Errorf("write an ICMP echo: %w", err)
	}
	sent := time.Now()
	if _, err := c.WriteTo(b, &net.IPAddr{IP: dst.AsSlice()}); err != nil {
		return 0, fmt.Errorf("send an ICMP echo to %s: %w", dst, err)
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := c.ReadFrom(buf)
		if err != nil {
			return 0, fmt.Errorf("no answer from %s: %w", dst, err)
		}
		if ip, ok := from.(*net.IPAddr); !ok || !ip.IP.Equal(dst.AsSlice()) {
			continue
		}
		got, err := icmp.ParseMessage(proto, buf[:n])
		if err != nil || got.Type != reply {
			continue
		}
		if e, ok := got.Body.(*icmp.Echo); ok && e.ID == body.ID && e.Seq == body.Seq {
			return time.Since(sent), nil
		}
	}
}
