package netnstest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Tap sees what arrives on a host's interface, as its neighbour there sent it.
type Tap struct {
	fd   int
	mu   sync.Mutex
	seen []Packet
}

// Packet is where one went. Port is 0 where there is none.
type Packet struct {
	Src, Dst netip.Addr
	Proto    byte // as in RFC 790; the first that is no hop-by-hop header
	Port     uint16
	Kind     byte // of ICMP
}

func (p Packet) String() string {
	switch p.Proto {
	case unix.IPPROTO_TCP:
		return fmt.Sprintf("%v tcp %d", p.Dst, p.Port)
	case unix.IPPROTO_UDP:
		return fmt.Sprintf("%v udp %d", p.Dst, p.Port)
	}
	return fmt.Sprintf("%v proto %d", p.Dst, p.Proto)
}

// Alive tells whether the packet only keeps a link going: neighbour discovery,
// router and group membership messages.
func (p Packet) Alive() bool {
	return p.Proto == unix.IPPROTO_ICMPV6 && (p.Kind >= 130 && p.Kind <= 136 || p.Kind == 143) || p.Proto == unix.IPPROTO_IGMP
}

// Tap opens a tap, until the test ends.
func (h *Host) Tap(device string) *Tap {
	t := h.bed.t
	t.Helper()
	tp := &Tap{}
	h.Do(func() { tp.open(t, device) })
	quit, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(quit); <-done; unix.Close(tp.fd) })
	go func() {
		defer close(done)
		buf := make([]byte, 1<<16)
		for {
			select {
			case <-quit:
				return
			default:
			}
			n, from, err := unix.Recvfrom(tp.fd, buf, 0)
			if l, ok := from.(*unix.SockaddrLinklayer); err != nil || !ok || l.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if p, ok := packet(buf[:n]); ok {
				tp.mu.Lock()
				tp.seen = append(tp.seen, p)
				tp.mu.Unlock()
			}
		}
	}()
	return tp
}

func (tp *Tap) open(t testing.TB, device string) {
	ifi, err := net.InterfaceByName(device)
	if err != nil {
		t.Errorf("tap %s: %v", device, err)
		return
	}
	const all = uint16(unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00)
	if tp.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all)); err != nil {
		t.Errorf("tap %s: %v", device, err)
		return
	}
	unix.SetsockoptInt(tp.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	unix.SetsockoptTimeval(tp.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50000})
	if err := unix.Bind(tp.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}); err != nil {
		t.Errorf("tap %s: %v", device, err)
	}
}

// Take gives what came since the last call and matches, after a moment for what
// is under way, without duplicates.
func (tp *Tap) Take(match func(Packet) bool) []string {
	<-time.After(150 * time.Millisecond)
	tp.mu.Lock()
	defer tp.mu.Unlock()
	var out []string
	for _, p := range tp.seen {
		if match(p) {
			out = append(out, p.String())
		}
	}
	tp.seen = nil
	slices.Sort(out)
	return slices.Compact(out)
}

func packet(b []byte) (p Packet, ok bool) {
	var rest []byte
	switch {
	case len(b) >= 20 && b[0]>>4 == 4 && len(b) >= int(b[0]&15)*4:
		p.Src, p.Dst, p.Proto, rest = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9], b[int(b[0]&15)*4:]
	case len(b) >= 40 && b[0]>>4 == 6:
		p.Src, p.Dst, p.Proto, rest = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6], b[40:]
		if p.Proto == 0 && len(rest) > 8 {
			p.Proto, rest = rest[0], rest[8:]
		}
	default:
		return p, false
	}
	switch {
	case (p.Proto == unix.IPPROTO_UDP || p.Proto == unix.IPPROTO_TCP) && len(rest) >= 4:
		p.Port = binary.BigEndian.Uint16(rest[2:])
	case len(rest) > 0:
		p.Kind = rest[0]
	}
	return p, true
}
