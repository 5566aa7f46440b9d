package stub

import (
	"context"
	"net"
	"net/netip"
	"sync"
)

// memSockets are sockets in memory; a nil map entry is an address not there.
type memSockets struct {
	mu   sync.Mutex
	down error
	udp  map[netip.AddrPort]*memConn
	n    int
}

type packet struct {
	data []byte
	peer netip.AddrPort
}

type memConn struct {
	in, out chan packet
	closed  chan struct{}
	once    sync.Once
}

func (c *memConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case p := <-c.in:
		return copy(b, p.data), p.peer, nil
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (c *memConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	select {
	case c.out <- packet{append([]byte(nil), b...), to}:
		return len(b), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *memConn) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

func (m *memSockets) ListenUDP(_ context.Context, a netip.AddrPort) (PacketConn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.n++; m.down != nil {
		return nil, m.down
	}
	c := &memConn{in: make(chan packet), out: make(chan packet, 1000), closed: make(chan struct{})}
	if m.udp == nil {
		m.udp = make(map[netip.AddrPort]*memConn)
	}
	m.udp[a] = c
	return c, nil
}

type memListener struct{ closed chan struct{} }

func (l *memListener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l *memListener) Addr() net.Addr            { return nil }
func (l *memListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (m *memSockets) ListenTCP(context.Context, netip.AddrPort) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.down != nil {
		return nil, m.down
	}
	return &memListener{make(chan struct{})}, nil
}
