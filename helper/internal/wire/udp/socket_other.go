//go:build !linux

package udp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"kith.internal/helper/internal/osnet/bypass"
)

var (
	past  = time.Unix(1, 0)
	never = time.Time{}
)

// socket is one family's socket, read and written a datagram at a time. The
// system picks the source.
type socket struct {
	udp   *net.UDPConn
	zones zones
}

func open(network string, port uint16) (*socket, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		ctlErr := errors.Join(bypass.Keep(raw, network == "udp6"), raw.Control(func(fd uintptr) { err = setUp(fd) }))
		if ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	return &socket{udp: pc.(*net.UDPConn)}, nil
}

func (s *socket) read(pkts []Packet) (int, error) {
	if len(pkts) == 0 {
		return 0, nil
	}
	p := &pkts[0]
	n, from, err := s.udp.ReadFromUDPAddrPort(p.Buf)
	if err != nil && !cutOff(err) {
		return 0, plain(err)
	}
	addr := from.Addr().Unmap()
	if addr.Zone() != "" {
		addr = s.zones.index(addr)
	}
	p.N, p.Addr, p.Src = n, netip.AddrPortFrom(addr, from.Port()), Source{}
	return 1, nil
}

func (s *socket) write(bufs [][]byte, to netip.AddrPort, _ Source) error {
	if to.Addr().Zone() != "" {
		to = netip.AddrPortFrom(s.zones.name(to.Addr()), to.Port())
	}
	for _, b := range bufs {
		if _, err := s.udp.WriteToUDPAddrPort(b, to); err != nil {
			return err
		}
	}
	return nil
}

func (s *socket) setMark(uint32) error { return nil }
