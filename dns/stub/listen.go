package stub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// PacketConn is what is used of a *net.UDPConn.
type PacketConn interface {
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	Close() error
}

// Sockets opens what the server listens on.
type Sockets interface {
	ListenUDP(ctx context.Context, addr netip.AddrPort) (PacketConn, error)
	ListenTCP(ctx context.Context, addr netip.AddrPort) (net.Listener, error)
}

// System is the OS's own sockets.
var System Sockets = osSockets{}

type osSockets struct{}

func (osSockets) ListenUDP(ctx context.Context, addr netip.AddrPort) (PacketConn, error) {
	lc := net.ListenConfig{Control: freebind}
	pc, err := lc.ListenPacket(ctx, "udp", addr.String())
	if err != nil {
		return nil, err
	}
	return pc.(*net.UDPConn), nil
}

func (osSockets) ListenTCP(ctx context.Context, addr netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{Control: freebind, KeepAlive: -1}
	return lc.Listen(ctx, "tcp", addr.String())
}

const (
	retryFirst = 50 * time.Millisecond // an address is there soon after its link is up
	retryLast  = 5 * time.Second       // a port is freed when its holder stops
	freeFor    = 20 * time.Second      // a port that another program held, before it is taken
)

// listener keeps one socket open: when it cannot be opened, or breaks, it is
// tried again with growing pauses.
type listener struct {
	network string
	addr    netip.AddrPort
	cancel  context.CancelFunc

	mu   sync.Mutex
	err  error
	sock interface{ Close() error }
	gone bool
}

// listen opens the socket once and leaves the rest to a goroutine.
func (s *Server) listen(network string, addr netip.AddrPort) *listener {
	ctx, cancel := context.WithCancel(s.ctx)
	l := &listener{network: network, addr: addr, cancel: cancel}
	serve := s.open(ctx, l)
	s.work.Go(func() { s.keep(ctx, l, serve) })
	return l
}

func (s *Server) keep(ctx context.Context, l *listener, serve func() error) {
	pause := retryFirst
	var free time.Time // since when the port that another program held is seen free
	for {
		if serve != nil {
			pause = retryFirst
			err := serve()
			if ctx.Err() != nil {
				return
			}
			l.fail(fmt.Errorf("answer on %s %v: %w", l.network, l.addr, err))
			s.cfg.Log.Warn("stub socket broke", "network", l.network, "addr", l.addr, "err", err)
			s.changed()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, retryLast)
		// Who held it may just be restarting, and could not if it were taken.
		if errors.Is(l.failure(), syscall.EADDRINUSE) {
			switch now := time.Now(); {
			case !s.isFree(ctx, l):
				free = time.Time{}
				continue
			case free.IsZero():
				free = now
				continue
			case now.Sub(free) < freeFor:
				continue
			}
			free = time.Time{}
		}
		if serve = s.open(ctx, l); serve != nil {
			s.changed()
		}
	}
}

// isFree tells whether the socket could be opened.
func (s *Server) isFree(ctx context.Context, l *listener) bool {
	sock, _, err := s.bind(ctx, l)
	if err == nil {
		sock.Close()
	}
	return err == nil
}

// open returns the socket's serving loop, or nil and leaves the error in l.
func (s *Server) open(ctx context.Context, l *listener) func() error {
	sock, serve, err := s.bind(ctx, l)
	if err == nil && l.hold(sock) {
		return serve
	}
	l.fail(openError(l, err))
	return nil
}

// bind opens the socket and returns the loop that serves it.
func (s *Server) bind(ctx context.Context, l *listener) (sock interface{ Close() error }, serve func() error, err error) {
	if l.network == "udp" {
		pc, err := s.cfg.Sockets.ListenUDP(ctx, l.addr)
		return pc, func() error { return s.serveUDP(pc) }, err
	}
	ln, err := s.cfg.Sockets.ListenTCP(ctx, l.addr)
	return ln, func() error { return s.serveTCP(ctx, ln) }, err
}

func openError(l *listener, err error) error {
	if err == nil {
		err = net.ErrClosed
	}
	return fmt.Errorf("listen on %s %v: %w", l.network, l.addr, err)
}

// hold keeps a socket that was opened, unless the listener was closed since.
func (l *listener) hold(sock interface{ Close() error }) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		sock.Close()
		return false
	}
	l.sock, l.err = sock, nil
	return true
}

func (l *listener) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sock != nil {
		l.sock.Close()
	}
	l.sock, l.err = nil, err
}

func (l *listener) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *listener) close() {
	l.cancel() // first: what then breaks was meant to
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = true
	if l.sock != nil {
		l.sock.Close()
	}
}

func (s *Server) changed() {
	if s.cfg.Changed != nil && s.ctx.Err() == nil {
		s.cfg.Changed()
	}
}
