package wire

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp"
)

const (
	maxLinks     = 4096 // in all: a relay's clients
	maxPeerLinks = 16   // of one peer; an invite may have several holders
)

// carriers are what is read beside the main sockets.
type carriers struct {
	ports map[*port]struct{}
	links map[*wireLink]struct{}
}

// port is a further UDP port.
type port struct {
	conn    udp.Conn
	gone    atomic.Bool
	readers []*reader
	wg      sync.WaitGroup
	once    sync.Once
}

func (v *port) write(bufs [][]byte, to netip.AddrPort, src udp.Source) error {
	return v.conn.WriteBatch(bufs, to, src)
}

// AddConn has the wire read a further UDP port, of which answers leave too. The
// port stays the caller's: remove waits until nobody reads it.
func (w *Wire) AddConn(c udp.Conn) (remove func()) {
	_, remove = w.addPort(c, ownBatch)
	return remove
}

// addPort is AddConn for a port of which batch datagrams are read at once in
// the beginning.
func (w *Wire) addPort(c udp.Conn, batch int) (v *port, remove func()) {
	v = &port{conn: c}
	for _, fn := range c.Readers() {
		v.readers = append(v.readers, newReader(&w.pump, fn, v))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return v, func() {}
	}
	w.carriers.ports[v] = struct{}{}
	for _, r := range v.readers {
		v.wg.Go(func() { r.run(0, batch) })
	}
	return v, func() { w.removePort(v) }
}

func (w *Wire) removePort(v *port) {
	v.once.Do(func() {
		v.gone.Store(true)
		for _, r := range v.readers {
			r.turn(1)
		}
		v.conn.Interrupt()
		v.wg.Wait()
		v.conn.Resume()
		w.mu.Lock()
		delete(w.carriers.ports, v)
		w.mu.Unlock()
		w.lose(v)
	})
	v.wg.Wait()
}

// Link carries whole datagrams over a stream, to or from a relay.
type Link interface {
	// Read reads one datagram; what does not fit into b is an error.
	Read(b []byte) (int, error)
	// Write never blocks: it queues, and drops what does not fit.
	Write(bufs [][]byte) error
	// Close ends the link; a Read that waits fails.
	Close() error
}

// wireLink is a link that the wire reads.
type wireLink struct {
	id    key.Public // who has proved to be at the other end
	link  Link
	since time.Time
	gone  atomic.Bool
}

func (v *wireLink) write(bufs [][]byte, _ netip.AddrPort, _ udp.Source) error {
	return v.link.Write(bufs)
}

func (v *wireLink) close() {
	v.gone.Store(true)
	v.link.Close()
}

// Attach takes over a link that the peer has opened, as OpenToken has found:
// the wire reads it until it ends, and closes it.
func (w *Wire) Attach(id key.Public, l Link) { w.addLink(id, l) }

// addLink reads a link until it ends; nil if there is no room for it.
func (w *Wire) addLink(id key.Public, l Link) *wireLink {
	v := &wireLink{id: id, link: l, since: time.Now()}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.dir.Load().byID[id]
	if w.closed || p == nil || len(w.carriers.links) >= maxLinks || p.c != nil && len(p.c.links) >= maxPeerLinks {
		l.Close()
		return nil
	}
	now := time.Now()
	c := p.contact()
	c.links = append(c.links, v)
	if c.seeking(now) {
		p.again(now)
	}
	w.carriers.links[v] = struct{}{}
	w.wg.Go(func() {
		w.readLink(v)
		v.close()
		w.mu.Lock()
		delete(w.carriers.links, v)
		c.links = slices.DeleteFunc(c.links, func(o *wireLink) bool { return o == v })
		w.mu.Unlock()
		w.lose(v)
	})
	return v
}

func (w *Wire) readLink(v *wireLink) {
	b := make([]byte, ownBuffer)
	t := new(transit)
	more, _ := v.link.(interface{ Buffered() int }) // what can be read without waiting
	from := place{via: v}
	for {
		n, err := v.link.Read(b)
		if err != nil {
			return
		}
		w.take(b[:n], from, udp.Source{}, t)
		if more == nil || more.Buffered() == 0 {
			t.flush(w)
		}
	}
}

// take takes a datagram that has not come by the main sockets.
func (w *Wire) take(b []byte, from place, src udp.Source, t *transit) {
	switch classify(b) {
	case looksWireGuard:
		w.pump.feed(b, from, src)
	case looksSTUN:
		w.takeSTUN(b, from, src)
	default:
		if inner, at := w.receive(b, from, src, t); len(inner) > 0 {
			w.pump.feed(inner, at, udp.Source{})
		}
	}
}

// lose forgets the paths that a carrier has carried.
func (w *Wire) lose(v carrier) {
	var out outbox
	now := time.Now()
	w.mu.Lock()
	w.eachContact(func(p *peer) {
		lost := false
		for _, q := range append([]*path(nil), p.c.paths.all...) {
			if q.via == v {
				p.dropPath(q)
				lost = true
			}
		}
		if lost {
			p.settle(now, &out)
			if p.c.seeking(now) || p.c.isActive(now) {
				p.again(now)
			}
		}
	})
	w.mu.Unlock()
	w.transmit(&out)
}

// closeCarriers stops reading what is not a main socket.
func (w *Wire) closeCarriers() {
	w.mu.Lock()
	var ports []*port
	for v := range w.carriers.ports {
		ports = append(ports, v)
	}
	for v := range w.carriers.links {
		v.close()
	}
	w.mu.Unlock()
	for _, v := range ports {
		w.removePort(v)
	}
}

// closeLinksOf closes the links of a peer that is no longer one. Callers hold
// Wire.mu.
func (w *Wire) closeLinksOf(id key.Public) {
	for v := range w.carriers.links {
		if v.id == id {
			v.close()
		}
	}
}
