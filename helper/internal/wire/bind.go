package wire

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/conn"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp"
)

// Endpoint is a peer as wireguard-go sees it: one object a peer, whatever the
// path. What it sends there goes along the best path of the time.
type Endpoint struct{ p *peer }

var _ conn.Endpoint = (*Endpoint)(nil)

func (e *Endpoint) ClearSrc()           {}
func (e *Endpoint) SrcToString() string { return "" }
func (e *Endpoint) SrcIP() netip.Addr   { return netip.Addr{} }

// DstToString is what Wire.Endpoint gives.
func (e *Endpoint) DstToString() string { return e.p.id.String() }

// DstToBytes is the peer's key: cookies are bound to the peer.
func (e *Endpoint) DstToBytes() []byte { return e.p.id[:] }

func (e *Endpoint) DstIP() netip.Addr {
	if r := e.p.route.Load(); r != nil && r.to.isUDP() {
		return r.to.addr.Addr()
	}
	// WireGuard limits handshakes by this address: one of its own for each.
	return netip.AddrFrom16([16]byte(e.p.id[:]))
}

// rawEndpoint is a place that is not known to be a peer's: a peer that has
// moved, a stranger. Once it has an owner, it stands for the owner.
type rawEndpoint struct {
	w *Wire
	place
	src   udp.Source
	owner atomic.Pointer[peer]
}

func (e *rawEndpoint) ClearSrc()           {}
func (e *rawEndpoint) SrcToString() string { return "" }
func (e *rawEndpoint) SrcIP() netip.Addr   { return e.src.Addr }
func (e *rawEndpoint) DstToString() string { return e.addr.String() }
func (e *rawEndpoint) DstToBytes() []byte {
	b, _ := e.addr.MarshalBinary() // cannot fail
	for i := range e.chain {
		b = append(b, e.chain[i][:]...)
	}
	return b
}

func (e *rawEndpoint) DstIP() netip.Addr {
	if e.isChain() {
		var b [16]byte
		copy(b[:], e.chain[0][:])
		far := e.chain.far()
		copy(b[tagLen:], far[:])
		return netip.AddrFrom16(b)
	}
	return e.addr.Addr()
}

func (e *rawEndpoint) send(bufs [][]byte) error {
	p := e.owner.Load()
	if p == nil {
		if o := (*e.w.owners.Load())[e.place]; o != nil {
			p = o.p
			e.owner.Store(p)
		}
	}
	if p != nil {
		return p.send(bufs)
	}
	// WireGuard answers no one whom it has not authenticated: now it is worth
	// asking who is there.
	select {
	case e.w.strangers <- e.place:
	default:
	}
	return e.w.send(bufs, &e.place, e.src)
}

// rawCache keeps the endpoints of unknown places for as long as they are
// the latest, so that a flow from one costs no allocation a packet.
type rawCache struct {
	mu   sync.Mutex
	last [8]*rawEndpoint
	next int
}

func (c *rawCache) get(w *Wire, from place, src udp.Source) *rawEndpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.last {
		if e != nil && e.place == from && e.src == src {
			return e
		}
	}
	e := &rawEndpoint{w: w, place: from, src: src}
	c.last[c.next%len(c.last)] = e
	c.next++
	return e
}

// send sends WireGuard packets to the peer. What the system refuses to send is
// lost, as on any network; it makes the path doubtful.
func (p *peer) send(bufs [][]byte) error {
	if p.cut.Load() {
		return nil
	}
	if kind := handshake(bufs); kind != 0 {
		p.wire.hold(p, kind, bufs[0])
		return nil
	}
	p.sent.n.Add(uint64(len(bufs)))
	if !p.watched.Load() {
		p.watch()
	}
	r := p.route.Load()
	if r == nil {
		return nil
	}
	var err error
	if r.plain {
		err = p.wire.conn.WriteBatch(bufs, r.to.addr, r.src)
	} else {
		err = p.sendOn(bufs, r)
	}
	if err != nil {
		p.failed.Store(true)
	}
	return nil
}

// sendOn sends along a route of any kind.
func (p *peer) sendOn(bufs [][]byte, r *route) error {
	err := p.wire.send(bufs, &r.to, r.src)
	if r.both {
		p.wire.send(bufs, &r.to2, r.src2)
	}
	return err
}

// watch has the schedule look at what is sent, from the first packet on.
func (p *peer) watch() {
	if !p.watched.CompareAndSwap(false, true) {
		return
	}
	select {
	case p.wire.watchq <- p:
	default:
		p.watched.Store(false)
	}
}

// bind is the wire as wireguard-go's Bind.
type bind struct{ w *Wire }

var _ conn.Bind = (*bind)(nil)

// Bind is what to give to wireguard-go's NewDevice.
func (w *Wire) Bind() conn.Bind { return &bind{w} }

// Open takes over receiving. The port is the wire's, whatever is asked for.
func (b *bind) Open(uint16) ([]conn.ReceiveFunc, uint16, error) {
	fns, err := b.w.pump.open()
	if err != nil {
		return nil, 0, err
	}
	return fns, b.w.conn.Port(), nil
}

// Close gives receiving back to the wire; the sockets stay open.
func (b *bind) Close() error {
	b.w.pump.close()
	return nil
}

// Nudge has the receive functions return with nothing until end is called.
func (b *bind) Nudge() (end func()) { return b.w.pump.nudge() }

func (b *bind) SetMark(mark uint32) error { return b.w.conn.SetMark(mark) }
func (b *bind) BatchSize() int            { return b.w.batch() }

// batch is how many datagrams go to wireguard-go at once. It holds 64 KiB for each
// of them, so a simulation of a thousand devices asks for fewer.
func (w *Wire) batch() int {
	if c, ok := w.conn.(interface{ BatchSize() int }); ok {
		return c.BatchSize()
	}
	return batchSize
}

func (b *bind) Send(bufs [][]byte, ep conn.Endpoint) error {
	switch e := ep.(type) {
	case *Endpoint:
		return e.p.send(bufs)
	case *rawEndpoint:
		return e.send(bufs)
	}
	return conn.ErrWrongEndpointType
}

func (b *bind) ParseEndpoint(s string) (conn.Endpoint, error) {
	id, err := key.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("parse endpoint: %w", err)
	}
	p := b.w.dir.Load().byID[id]
	if p == nil {
		return nil, fmt.Errorf("parse endpoint: %w", ErrUnknownPeer)
	}
	return &p.ep, nil
}

// Endpoint is what ParseEndpoint takes for the peer.
func (w *Wire) Endpoint(id key.Public) string { return id.String() }
