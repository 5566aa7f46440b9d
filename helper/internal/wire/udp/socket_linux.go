package udp

import (
	"context"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kith.internal/helper/internal/osnet/bypass"
)

const (
	errAddrInUse = unix.EADDRINUSE
	errNoFamily  = unix.EAFNOSUPPORT
	errNoAddress = unix.EADDRNOTAVAIL
)

var (
	past  = time.Unix(1, 0)
	never = time.Time{}
)

// socket is one family's socket, used past the net package for batches and
// offloads; net keeps its poller and its deadlines.
type socket struct {
	udp *net.UDPConn
	raw syscall.RawConn
	v6  bool
	rx  *receiver
	tx  sync.Pool // of *sender
	gso offload
}

func open(network string, port uint16) (*socket, error) {
	s := &socket{v6: network == "udp6"}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		ctlErr := raw.Control(func(fd uintptr) { err = s.setUp(int(fd)) })
		if ctlErr != nil {
			return ctlErr
		}
		return err
	}}
	pc, err := lc.ListenPacket(context.Background(), network, ":"+strconv.Itoa(int(port)))
	if err != nil {
		return nil, err
	}
	s.udp = pc.(*net.UDPConn)
	if s.raw, err = s.udp.SyscallConn(); err != nil {
		s.udp.Close()
		return nil, err
	}
	s.rx = newReceiver(s)
	s.tx.New = func() any { return newSender() }
	return s, nil
}

// setUp sets the socket's options. Buffers beyond the system's limit need
// CAP_NET_ADMIN, without which the limit must do; GRO needs Linux 5.0.
func (s *socket) setUp(fd int) error {
	for _, o := range [][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[0], bufferSize) != nil {
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, o[1], bufferSize)
		}
	}
	unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	bypass.Socket(uintptr(fd))
	_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
	s.gso.lacking = err != nil
	if s.v6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

func (s *socket) setMark(mark uint32) (err error) {
	ctlErr := s.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
	})
	if ctlErr != nil {
		return plain(ctlErr)
	}
	return err
}
