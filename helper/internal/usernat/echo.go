package usernat

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	maxEchoes   = 1024
	maxOfPeer   = 128
	maxAnswers  = 256
	echoWithin  = 10 * time.Second
	echoIDFirst = 0x4b00 // far from where ping(8) begins
)

// echoes passes on ICMP echo requests (RFC 792, RFC 4443 §4) by a raw socket a
// family, opened when it is needed first.
type echoes struct {
	mu      sync.Mutex // guards what follows
	socks   [2]net.PacketConn
	failed  [2]bool
	under   map[uint16]echo // by the ID that we gave them
	next    uint16
	answers [][]byte // packets for peers
	closed  bool
	work    sync.WaitGroup
}

// echo is where an answer goes.
type echo struct {
	src, dst netip.Addr
	id       uint16
	until    time.Time
}

func hostPing(six bool) (net.PacketConn, error) {
	if six {
		return icmp.ListenPacket("ip6:ipv6-icmp", "::")
	}
	return icmp.ListenPacket("ip4:icmp", "0.0.0.0")
}

func (e *echoes) request(n *NAT, h head) {
	if !n.policy.Load().allows(h.src, h.dst) {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.socket(n, h.dst.Is6())
	if c == nil {
		return
	}
	orig := binary.BigEndian.Uint16(h.payload[4:])
	id, ok := e.number(echo{h.src, h.dst, orig, time.Now().Add(echoWithin)})
	if !ok {
		return
	}
	m := append([]byte(nil), h.payload...)
	binary.BigEndian.PutUint16(m[4:], id)
	if h.dst.Is4() { // the kernel does ICMPv6's
		binary.BigEndian.PutUint16(m[2:], 0)
		binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, 0))
	}
	c.WriteTo(m, &net.IPAddr{IP: h.dst.AsSlice()})
}

// number gives an echo an ID of ours; the same flow keeps its own.
func (e *echoes) number(want echo) (uint16, bool) {
	now, own := time.Now(), 0
	for id, o := range e.under {
		if o.src == want.src && o.dst == want.dst && o.id == want.id {
			e.under[id] = want
			return id, true
		}
		if now.After(o.until) {
			delete(e.under, id)
		} else if o.src == want.src {
			own++
		}
	}
	if len(e.under) >= maxEchoes || own >= maxOfPeer {
		return 0, false
	}
	for {
		e.next++
		id := echoIDFirst + e.next
		if _, taken := e.under[id]; !taken {
			e.under[id] = want
			return id, true
		}
	}
}

func (e *echoes) socket(n *NAT, six bool) net.PacketConn {
	i := 0
	if six {
		i = 1
	}
	if e.closed || e.failed[i] || e.socks[i] != nil {
		return e.socks[i]
	}
	c, err := n.cfg.Ping(six)
	if err != nil {
		e.failed[i] = true
		n.log.Info("pings are not passed on", "err", err)
		return nil
	}
	if e.under == nil {
		e.under = map[uint16]echo{}
	}
	e.socks[i] = c
	e.work.Go(func() { e.read(n, c, six) })
	return c
}

func (e *echoes) read(n *NAT, c net.PacketConn, six bool) {
	buf := make([]byte, 1<<16)
	for errs := 0; errs < 16; {
		k, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) || n.ctx.Err() != nil {
			return
		}
		if err != nil {
			errs++
			continue
		}
		ip, ok := from.(*net.IPAddr)
		if !ok {
			continue
		}
		src, _ := netip.AddrFromSlice(ip.IP)
		e.take(n, buf[:k], src.Unmap(), six)
	}
}

// take makes a packet of an answer to a request that is under way.
func (e *echoes) take(n *NAT, m []byte, src netip.Addr, six bool) {
	reply := byte(0)
	if six {
		reply = 129
	}
	if len(m) < 8 || m[0] != reply {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o, ok := e.under[binary.BigEndian.Uint16(m[4:])]
	if !ok || o.dst != src || time.Now().After(o.until) || len(e.answers) >= maxAnswers || len(m) > n.cfg.MTU-40 {
		return
	}
	m = append([]byte(nil), m...)
	binary.BigEndian.PutUint16(m[4:], o.id)
	e.answers = append(e.answers, pack(m, o.dst, o.src))
	n.WriteNotify()
}

// pack makes an IP packet of an ICMP message.
func pack(m []byte, src, dst netip.Addr) []byte {
	from, to := tcpip.AddrFromSlice(src.AsSlice()), tcpip.AddrFromSlice(dst.AsSlice())
	binary.BigEndian.PutUint16(m[2:], 0)
	if src.Is4() {
		binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, 0))
		p := make([]byte, header.IPv4MinimumSize+len(m))
		ip := header.IPv4(p)
		ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(p)), TTL: 64, Protocol: protoICMP4, SrcAddr: from, DstAddr: to})
		ip.SetChecksum(^ip.CalculateChecksum())
		copy(p[header.IPv4MinimumSize:], m)
		return p
	}
	sum := header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, from, to, uint16(len(m)))
	binary.BigEndian.PutUint16(m[2:], ^checksum.Checksum(m, sum))
	p := make([]byte, header.IPv6MinimumSize+len(m))
	header.IPv6(p).Encode(&header.IPv6Fields{
		PayloadLength: uint16(len(m)), TransportProtocol: header.ICMPv6ProtocolNumber, HopLimit: 64, SrcAddr: from, DstAddr: to,
	})
	copy(p[header.IPv6MinimumSize:], m)
	return p
}

// answer is the next packet for a peer, nil for none.
func (e *echoes) answer() []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.answers) == 0 {
		return nil
	}
	p := e.answers[0]
	e.answers = e.answers[1:]
	return p
}

func (e *echoes) close() {
	e.mu.Lock()
	e.closed = true
	for _, c := range e.socks {
		if c != nil {
			c.Close()
		}
	}
	e.mu.Unlock()
	e.work.Wait()
}
