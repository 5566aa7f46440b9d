package relay

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	tick        = 10 * time.Second
	idleTicks   = 2                // without a word of ours: a keep-alive, after 20 s at most
	silentTicks = 5                // without a word of theirs: dead, after 50 to 60 s
	writeWithin = 30 * time.Second // a chunk; slower is dead
	closeWithin = time.Second      // what is queued yet when Close is called
)

var past = time.Unix(1, 0)

// Link carries whole datagrams of up to MaxFrame bytes over a TLS stream. Each
// link has a goroutine and a queue of its own, so that a slow reader at its end
// loses datagrams of its own and stalls nobody. One goroutine may read.
type Link struct {
	conn  *tls.Conn
	in    frameReader
	proxy string
	ended func() // once, when the connection is closed; may be nil

	mu     sync.Mutex // guards out, closed
	out    queue
	closed bool

	wake    chan struct{} // there is something to send
	done    chan struct{} // Close was called
	gone    chan struct{} // the connection is closed
	dropped atomic.Uint64
	cause   atomic.Pointer[error]
}

// newLink takes the connection over. early is what came before its first frame
// was asked for.
func newLink(conn *tls.Conn, early []byte, b *budget, ended func()) *Link {
	l := &Link{
		conn: conn, ended: ended, out: queue{budget: b},
		wake: make(chan struct{}, 1), done: make(chan struct{}), gone: make(chan struct{}),
	}
	l.in.r = conn
	if len(early) > 0 {
		l.in.r = &prefixed{early, conn}
	}
	go l.pump()
	return l
}

// Read waits for the next datagram. One that b cannot hold is dropped. It fails
// when the link has ended: with net.ErrClosed after Close.
func (l *Link) Read(b []byte) (int, error) {
	n, err := l.in.read(b)
	if err == nil {
		return n, nil
	}
	if cause := l.cause.Load(); cause != nil {
		err = *cause
	} else if l.isClosed() {
		err = net.ErrClosed
	}
	return 0, fmt.Errorf("relay link: %w", err)
}

// Buffered is how many bytes the next Read gives at once; 0 if it may wait. It is
// the reader's to ask.
func (l *Link) Buffered() int { return l.in.buffered() }

// Write queues datagrams and never waits. When the queue is full the oldest are
// dropped, as are those that waited a second while newer ones came. It keeps
// nothing of bufs. It fails only for a link that has ended and
// for datagrams that are too long, which are left out.
func (l *Link) Write(bufs [][]byte) error {
	var err error
	dropped := 0
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return net.ErrClosed
	}
	for _, b := range bufs {
		switch {
		case len(b) > MaxFrame:
			err = ErrFrame
		case len(b) > 0:
			dropped += l.out.push(b)
		}
	}
	l.dropped.Add(uint64(dropped)) // before what is newer can arrive
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return err
}

// Close ends the link and does not wait. What is queued has a second to leave.
func (l *Link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	close(l.done)
	l.conn.SetReadDeadline(past)
	return nil
}

func (l *Link) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Transport is what the link runs on: "tls".
func (l *Link) Transport() string { return "tls" }

// Proxy is HOST:PORT of the HTTP proxy that the link goes through, or empty.
func (l *Link) Proxy() string { return l.proxy }

// RemoteAddr is the other end of the TCP connection: the relay, its client, or
// the proxy.
func (l *Link) RemoteAddr() netip.AddrPort { return addrOf(l.conn) }

// Dropped is how many datagrams a full queue, or a short buffer given to Read,
// cost so far.
func (l *Link) Dropped() uint64 { return l.dropped.Load() + l.in.dropped.Load() }

// Done is closed when the link's connection is.
func (l *Link) Done() <-chan struct{} { return l.gone }

// pump sends what is queued until the link ends, then closes the connection.
func (l *Link) pump() {
	defer l.end()
	t := time.NewTicker(tick)
	defer t.Stop()
	var quiet, silent int
	var heard uint64
	for {
		if c := l.next(); c != nil {
			quiet = 0
			if !l.send(c) {
				return
			}
			select {
			case <-t.C: // below, but without waiting
			default:
				continue
			}
		} else {
			select {
			case <-l.wake:
				continue
			case <-l.done:
				l.flush()
				return
			case <-t.C:
			}
		}
		if quiet++; quiet >= idleTicks {
			quiet = 0
			if !l.send(nil) {
				return
			}
		}
		if silent++; heard != l.in.heard.Load() {
			heard, silent = l.in.heard.Load(), 0
		}
		if silent >= silentTicks {
			l.fail(errSilent)
			return
		}
	}
}

func (l *Link) next() *chunk {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	if n := l.out.fresh(); n > 0 {
		l.dropped.Add(uint64(n))
	}
	return l.out.pop()
}

var keepAlive [frameHead]byte

// send writes a chunk, or a keep-alive for nil.
func (l *Link) send(c *chunk) bool {
	b := keepAlive[:]
	if c != nil {
		b = c.b[:c.n]
		defer l.out.free(c)
	}
	l.conn.SetWriteDeadline(time.Now().Add(writeWithin))
	_, err := l.conn.Write(b)
	if err != nil {
		l.fail(err)
	}
	return err == nil
}

// flush sends what is left and says goodbye.
func (l *Link) flush() {
	l.conn.SetWriteDeadline(time.Now().Add(closeWithin))
	for {
		l.mu.Lock()
		c := l.out.pop()
		l.mu.Unlock()
		if c == nil {
			break
		}
		_, err := l.conn.Write(c.b[:c.n])
		l.out.free(c)
		if err != nil {
			return
		}
	}
	l.conn.CloseWrite()
}

// fail notes why the link ends; the reader is told.
func (l *Link) fail(err error) { l.cause.CompareAndSwap(nil, &err) }

func (l *Link) end() {
	l.Close()
	l.conn.NetConn().Close()
	l.mu.Lock()
	l.out.clear()
	l.mu.Unlock()
	if l.ended != nil {
		l.ended()
	}
	close(l.gone)
}

// prefixed reads b before the rest.
type prefixed struct {
	b []byte
	r io.Reader
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.b) > 0 {
		n := copy(b, p.b)
		if p.b = p.b[n:]; len(p.b) == 0 {
			p.b = nil
		}
		return n, nil
	}
	return p.r.Read(b)
}

func addrOf(c net.Conn) netip.AddrPort {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	p, _ := netip.ParseAddrPort(c.RemoteAddr().String())
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}
