package wire

import (
	"net"
	"os"
	"sync"
	"time"

	"kith.internal/helper/internal/key"
)

const (
	quicQueue = 256

	// busyPacket is the least length of a QUIC packet that says more than that
	// its sender is alive.
	busyPacket = 200
)

// peerAddr is a peer as QUIC sees it: an address that never changes.
type peerAddr struct {
	p    *peer
	name string // kept: QUIC compares it a packet
}

func newPeerAddr(p *peer) *peerAddr { return &peerAddr{p: p, name: p.id.String()} }

func (a *peerAddr) Network() string { return "kith" }
func (a *peerAddr) String() string  { return a.name }

// selfAddr is our own end.
type selfAddr key.Public

func (a selfAddr) Network() string { return "kith" }
func (a selfAddr) String() string  { return key.Public(a).String() }

// packetConn carries QUIC's packets in sealed datagrams.
type packetConn struct {
	w     *Wire
	queue chan queued
	done  chan struct{}
	once  sync.Once

	mu       sync.Mutex
	deadline chan struct{} // closed when the read deadline has passed
}

type queued struct {
	data []byte
	addr *peerAddr
}

var _ net.PacketConn = (*packetConn)(nil)

func newPacketConn(w *Wire) *packetConn {
	return &packetConn{w: w, queue: make(chan queued, quicQueue), done: make(chan struct{}), deadline: make(chan struct{})}
}

// put queues a packet; it tells whether there was room.
func (c *packetConn) put(data []byte, from *peerAddr) bool {
	select {
	case c.queue <- queued{data, from}:
		return true
	default:
		return false
	}
}

func (c *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.mu.Lock()
	deadline := c.deadline
	c.mu.Unlock()
	select {
	case q := <-c.queue:
		return copy(b, q.data), q.addr, nil
	case <-deadline:
		return 0, nil, os.ErrDeadlineExceeded
	case <-c.done:
		return 0, nil, net.ErrClosed
	}
}

func (c *packetConn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if a, ok := addr.(*peerAddr); ok {
		c.w.sendPacket(a.p, b)
	}
	return len(b), nil
}

// SetReadDeadline knows two times, which are all that QUIC uses: now and never.
func (c *packetConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.deadline:
		if t.IsZero() {
			c.deadline = make(chan struct{})
		}
	default:
		if !t.IsZero() {
			close(c.deadline)
		}
	}
	return nil
}

func (c *packetConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return nil
}

func (c *packetConn) LocalAddr() net.Addr              { return selfAddr(c.w.device.Public()) }
func (c *packetConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *packetConn) SetWriteDeadline(time.Time) error { return nil }

// SetReadBuffer and SetWriteBuffer are asked for by quic-go, which complains
// where they lack; the sockets' buffers are the wire's business.
func (c *packetConn) SetReadBuffer(int) error  { return nil }
func (c *packetConn) SetWriteBuffer(int) error { return nil }

// sendPacket sends a QUIC packet along the best path.
func (w *Wire) sendPacket(p *peer, packet []byte) {
	now := time.Now()
	w.mu.Lock()
	r := p.route.Load()
	if p.cut.Load() || p.c == nil || r == nil {
		w.mu.Unlock()
		return
	}
	c := p.c
	h := header{kind: kindFragment, flags: c.ownWord(), from: w.boot, to: c.boot}
	c.lastSent = now
	busy := len(packet) >= busyPacket
	if busy {
		c.spoke(now)
		c.works(now)
	}
	c.packets++
	id := c.packets
	w.mu.Unlock()
	if busy {
		p.watch()
	}

	var bufs [][]byte
	var body [maxBody]byte
	for _, f := range split(id, packet) {
		b, err := p.sealDatagram(nil, h, appendPiece(body[:0], f))
		if err != nil {
			return
		}
		bufs = append(bufs, b)
	}
	if err := p.sendOn(bufs, r); err != nil {
		p.failed.Store(true)
	}
}
