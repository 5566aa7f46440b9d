package tunnel

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/time/rate"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
)

const (
	protoTCP  = 6
	protoUDP  = 17
	udpHeader = 8
	tcpHeader = 20
	insideMax = 64 // datagrams that wait for their reader; more are lost
)

// Inside is a TUN with sockets in it, at addresses of the overlay that are no
// device's: what this host sends there is answered here and goes no further.
// Whatever else holds a port on this host, these are free.
type Inside struct {
	tun.Device
	keep func(peer any)
	tcp  insideTCP

	mu      sync.Mutex // guards sockets, and changes of streams and of table
	sockets map[netip.AddrPort]*InsideConn
	streams map[netip.AddrPort]*insideListener
	table   atomic.Pointer[insideTable] // of the reader goroutine; nil: no sockets
}

type insideTable struct {
	sockets map[netip.AddrPort]*InsideConn
	streams map[netip.AddrPort]*insideListener
}

// NewInside puts sockets into t, which it owns from then on.
func NewInside(t tun.Device) *Inside {
	i := &Inside{Device: t, sockets: map[netip.AddrPort]*InsideConn{}, streams: map[netip.AddrPort]*insideListener{}}
	i.tcp.in, i.tcp.syns = i, rate.NewLimiter(synRate, synBurst)
	if k, ok := t.(Keeper); ok {
		i.keep = k.Keep
	}
	return i
}

// Keep makes it a Keeper where the TUN is one.
func (i *Inside) Keep(peer any) {
	if i.keep != nil {
		i.keep(peer)
	}
}

// ListenUDP opens a UDP socket; it fails with EADDRINUSE where there is one already.
func (i *Inside) ListenUDP(at netip.AddrPort) (*InsideConn, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.sockets[at] != nil {
		return nil, fmt.Errorf("listen on %v in the tunnel: %w", at, syscall.EADDRINUSE)
	}
	c := &InsideConn{in: i, at: at, queue: make(chan datagram, insideMax), closed: make(chan struct{})}
	i.sockets[at] = c
	i.publish()
	return c, nil
}

// publish shows the reader the sockets; the caller holds mu.
func (i *Inside) publish() {
	if len(i.sockets)+len(i.streams) == 0 {
		i.table.Store(nil)
		return
	}
	i.table.Store(&insideTable{maps.Clone(i.sockets), maps.Clone(i.streams)})
}

// Read takes out what goes to a socket here.
func (i *Inside) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	n, err := i.Device.Read(bufs, sizes, offset)
	table := i.table.Load()
	if table == nil {
		return n, err
	}
	for k := range n {
		if i.take(table, bufs[k][offset:offset+sizes[k]]) {
			sizes[k] = 0
		}
	}
	return n, err
}

// take gives a packet to the socket that it is for; false: there is none.
func (i *Inside) take(table *insideTable, p []byte) bool {
	s, ok := parseSegment(p)
	if !ok {
		return false
	}
	if s.proto == protoTCP {
		if table.streams[s.dst] == nil {
			return false
		}
		i.tcp.take(p, s)
		return true
	}
	c := table.sockets[s.dst]
	if c == nil {
		return false
	}
	select {
	case c.queue <- datagram{append([]byte(nil), s.data...), s.src}:
	default: // as a socket's buffer that is full
	}
	return true
}

type datagram struct {
	data []byte
	from netip.AddrPort
}

// InsideConn is a UDP socket in a TUN, as far as a resolver needs one.
type InsideConn struct {
	in     *Inside
	at     netip.AddrPort
	queue  chan datagram
	once   sync.Once
	closed chan struct{}
}

// ReadFromUDPAddrPort is net.UDPConn's.
func (c *InsideConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-c.queue:
		return copy(b, d.data), d.from, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

// WriteToUDPAddrPort is net.UDPConn's.
func (c *InsideConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	const room = device.MessageTransportHeaderSize // for the system's own header
	p := makeUDP(make([]byte, room, room+48+len(b)), c.at, to, b)
	if p == nil {
		return 0, fmt.Errorf("send %d bytes from %v to %v: %w", len(b), c.at, to, syscall.EMSGSIZE)
	}
	if _, err := c.in.Device.Write([][]byte{p}, room); err != nil {
		return 0, err
	}
	return len(b), nil
}

// Close ends the socket.
func (c *InsideConn) Close() error {
	c.once.Do(func() {
		c.in.mu.Lock()
		delete(c.in.sockets, c.at)
		c.in.publish()
		c.in.mu.Unlock()
		close(c.closed)
	})
	return nil
}

// segment is a UDP datagram or a TCP segment.
type segment struct {
	proto    byte
	src, dst netip.AddrPort
	flags    byte   // TCP's, RFC 9293 §3.1
	data     []byte // UDP's
}

// parseSegment reads a whole UDP datagram (RFC 768) or TCP segment in IPv4 or
// IPv6: no fragment, no extension headers. The host made it, so its checksums are
// not looked at.
func parseSegment(p []byte) (s segment, ok bool) {
	var a, b netip.Addr
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		head := int(p[0]&15) * 4
		if binary.BigEndian.Uint16(p[6:])&0x3fff != 0 || head < 20 || len(p) < head {
			return s, false
		}
		s.proto, a, b, p = p[9], netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[head:]
	case len(p) >= 40 && p[0]>>4 == 6:
		s.proto, a, b, p = p[6], netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[40:]
	default:
		return s, false
	}
	switch {
	case s.proto == protoUDP && len(p) >= udpHeader:
		size := int(binary.BigEndian.Uint16(p[4:]))
		if size < udpHeader || size > len(p) {
			return s, false
		}
		s.data = p[udpHeader:size]
	case s.proto == protoTCP && len(p) >= tcpHeader:
		s.flags = p[13]
	default:
		return s, false
	}
	s.src, s.dst = netip.AddrPortFrom(a, binary.BigEndian.Uint16(p)), netip.AddrPortFrom(b, binary.BigEndian.Uint16(p[2:]))
	return s, true
}

// makeUDP appends a datagram to p; nil if it is too long, or the families
// differ.
func makeUDP(p []byte, src, dst netip.AddrPort, data []byte) []byte {
	from, to := src.Addr().Unmap(), dst.Addr().Unmap().WithZone("")
	size := udpHeader + len(data)
	if from.Is4() != to.Is4() || size > 1<<16-1-20 {
		return nil
	}
	start := len(p)
	if from.Is4() {
		a, b := from.As4(), to.As4()
		p = append(p, 0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protoUDP, 0, 0)
		p = append(append(p, a[:]...), b[:]...)
		binary.BigEndian.PutUint16(p[start+2:], uint16(20+size))
		binary.BigEndian.PutUint16(p[start+10:], checksum(p[start:]))
	} else {
		a, b := from.As16(), to.As16()
		p = append(p, 6<<4, 0, 0, 0, 0, 0, protoUDP, 64)
		p = append(append(p, a[:]...), b[:]...)
		binary.BigEndian.PutUint16(p[start+4:], uint16(size))
	}
	udp := len(p)
	p = binary.BigEndian.AppendUint16(p, src.Port())
	p = binary.BigEndian.AppendUint16(p, dst.Port())
	p = binary.BigEndian.AppendUint16(p, uint16(size))
	p = append(append(p, 0, 0), data...)
	sum := udpChecksum(from, to, p[udp:])
	binary.BigEndian.PutUint16(p[udp+6:], sum)
	return p
}

// udpChecksum is RFC 768's, over the pseudo header too; RFC 8200 §8.1 for IPv6.
func udpChecksum(from, to netip.Addr, udp []byte) uint16 {
	a, b := from.AsSlice(), to.AsSlice()
	pseudo := make([]byte, 0, 40+len(udp)+1)
	pseudo = append(append(pseudo, a...), b...)
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(udp)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, protoUDP)
	sum := checksum(append(pseudo, udp...))
	if sum == 0 {
		sum = 0xffff
	}
	return sum
}
