package egress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/netnstest"
)

// tap sees what arrives on a host's interface: the far end of the client's
// uplink.
type tap struct {
	fd   int
	mu   sync.Mutex
	seen []string
}

func newTap(t testing.TB, h *netnstest.Host, device string) *tap {
	tp := &tap{}
	var err error
	h.Do(func() {
		var ifi *net.Interface
		if ifi, err = net.InterfaceByName(device); err != nil {
			return
		}
		const all = uint16(unix.ETH_P_ALL>>8 | unix.ETH_P_ALL<<8&0xff00)
		if tp.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all)); err != nil {
			return
		}
		unix.SetsockoptInt(tp.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
		unix.SetsockoptTimeval(tp.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50000})
		err = unix.Bind(tp.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
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
			if s := describe(buf[:n]); s != "" {
				tp.mu.Lock()
				tp.seen = append(tp.seen, s)
				tp.mu.Unlock()
			}
		}
	}()
	return tp
}

// take gives what came since the last call, after a moment for what is under
// way, sorted and without duplicates.
func (tp *tap) take() []string {
	<-time.After(150 * time.Millisecond)
	tp.mu.Lock()
	defer tp.mu.Unlock()
	out := tp.seen
	tp.seen = nil
	slices.Sort(out)
	return slices.Compact(out)
}

// leaks is what take gives, but for our own sockets' packets and what keeps the
// link alive.
func (tp *tap) leaks() []string {
	return slices.DeleteFunc(tp.take(), func(s string) bool {
		return strings.HasSuffix(s, fmt.Sprintf(" udp %d", ownPort)) || strings.Contains(s, " alive")
	})
}

func describe(p []byte) string {
	var dst netip.Addr
	var proto byte
	var rest []byte
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		dst, proto, rest = netip.AddrFrom4([4]byte(p[16:20])), p[9], p[int(p[0]&15)*4:]
	case len(p) >= 40 && p[0]>>4 == 6:
		dst, proto, rest = netip.AddrFrom16([16]byte(p[24:40])), p[6], p[40:]
		if proto == 0 && len(rest) > 8 { // MLD's hop-by-hop options
			proto, rest = rest[0], rest[8:]
		}
	default:
		return ""
	}
	switch {
	case proto == unix.IPPROTO_ICMPV6 && len(rest) > 0 && (rest[0] >= 133 && rest[0] <= 136 || rest[0] >= 130 && rest[0] <= 132 || rest[0] == 143):
		return fmt.Sprintf("%v icmpv6 %d alive", dst, rest[0])
	case proto == unix.IPPROTO_IGMP:
		return fmt.Sprintf("%v igmp alive", dst)
	case (proto == unix.IPPROTO_UDP || proto == unix.IPPROTO_TCP) && len(rest) >= 4:
		return fmt.Sprintf("%v %s %d", dst, map[byte]string{6: "tcp", 17: "udp"}[proto], binary.BigEndian.Uint16(rest[2:]))
	}
	return fmt.Sprintf("%v proto %d", dst, proto)
}
