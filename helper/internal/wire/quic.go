package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quic-go/quic-go"

	"kith.internal/helper/internal/key"
)

// Codes with which a wire itself closes sessions.
const (
	CodeClosed    = 0x6b00 + iota // the wire is closing
	CodeCut                       // the peer is no longer one
	CodeRestarted                 // the peer has forgotten the session
	CodeCrowded                   // the other end has begun too many
)

var (
	ErrUnknownPeer = errors.New("no such peer")
	ErrClosed      = errors.New("wire closed")

	errCut       = errors.New("the peer is no longer one")
	errRestarted = errors.New("the peer has restarted")
	errRate      = errors.New("too many sessions begun")
)

// Session is a control session with a peer: QUIC, on whatever path there is.
type Session interface {
	Peer() key.Public
	// Open opens a stream; it waits while the peer allows no more of them. The
	// peer learns of a stream when it is first written to.
	Open(ctx context.Context) (Stream, error)
	// Accept waits for a stream that the peer opens.
	Accept(ctx context.Context) (Stream, error)
	// Close ends the session; the peer is told the code.
	Close(code uint64) error
	// Context ends with the session.
	Context() context.Context
}

// Stream is a stream of bytes each way. Close ends the writing side alone.
type Stream interface {
	io.ReadWriteCloser
	CancelRead(code uint64)  // tells the peer to stop writing
	CancelWrite(code uint64) // drops what is not yet sent
	SetDeadline(t time.Time) error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

type stream struct{ *quic.Stream }

func (s stream) CancelRead(code uint64)  { s.Stream.CancelRead(quic.StreamErrorCode(code)) }
func (s stream) CancelWrite(code uint64) { s.Stream.CancelWrite(quic.StreamErrorCode(code)) }

type session struct {
	p      *peer
	q      *quic.Conn
	theirs time.Time // when the peer began it; zero: we did
}

// sessionsTheirs bounds the sessions that a peer has begun with us. One that is
// well has two at the most, and those of a path that is gone, until they time out.
const sessionsTheirs = 16

func (s *session) Peer() key.Public         { return s.p.id }
func (s *session) Context() context.Context { return s.q.Context() }

func (s *session) Open(ctx context.Context) (Stream, error) {
	st, err := s.q.OpenStreamSync(ctx)
	if err != nil {
		return nil, fmt.Errorf("open stream to %s: %w", s.p.id.Short(), err)
	}
	return stream{st}, nil
}

func (s *session) Accept(ctx context.Context) (Stream, error) {
	st, err := s.q.AcceptStream(ctx)
	if err != nil {
		return nil, fmt.Errorf("accept stream from %s: %w", s.p.id.Short(), err)
	}
	return stream{st}, nil
}

func (s *session) Close(code uint64) error {
	return s.q.CloseWithError(quic.ApplicationErrorCode(code), "")
}

var quicConfig = &quic.Config{
	Versions:                []quic.Version{quic.Version1},
	HandshakeIdleTimeout:    5 * time.Second,
	MaxIdleTimeout:          60 * time.Second,
	KeepAlivePeriod:         20 * time.Second, // with deadAfter: how soon a dead peer is noticed
	MaxIncomingStreams:      64,
	MaxIncomingUniStreams:   -1,
	InitialPacketSize:       1200,
	DisablePathMTUDiscovery: true,
	// Control sessions carry records, not bulk: windows bound a peer's memory.
	InitialStreamReceiveWindow:     64 << 10,
	MaxStreamReceiveWindow:         1 << 20,
	InitialConnectionReceiveWindow: 128 << 10,
	MaxConnectionReceiveWindow:     2 << 20,
}

// quicEnd is our end of all control sessions.
type quicEnd struct {
	w         *Wire
	conn      *packetConn
	cert      tls.Certificate
	transport *quic.Transport
	listener  *quic.Listener
}

func (e *quicEnd) start(w *Wire) (err error) {
	e.w, e.conn = w, newPacketConn(w)
	if e.cert, err = certificate(w.device); err != nil {
		return err
	}
	e.transport = &quic.Transport{Conn: e.conn, ConnContext: e.admit}
	if e.listener, err = e.transport.Listen(serverTLS(e.cert), quicConfig); err != nil {
		return fmt.Errorf("listen for control sessions: %w", err)
	}
	w.wg.Go(e.accept)
	return nil
}

// admit limits how often a peer may begin a session.
func (e *quicEnd) admit(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	a, ok := info.RemoteAddr.(*peerAddr)
	if !ok {
		return nil, ErrUnknownPeer
	}
	now := time.Now()
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	if a.p.cut.Load() || a.p.c == nil || !a.p.c.handshakes.allow(now) {
		return nil, errRate
	}
	return ctx, nil
}

func (e *quicEnd) accept() {
	for {
		q, err := e.listener.Accept(context.Background())
		if err != nil {
			return
		}
		a := q.RemoteAddr().(*peerAddr)
		if s, err := e.w.addSession(a.p, q, time.Now()); err == nil {
			e.w.wg.Go(func() { e.w.handler.Accept(a.p.id, s) })
		}
	}
}

func (e *quicEnd) stop() {
	e.listener.Close()
	e.transport.Close()
	e.conn.Close()
}

// addSession registers a session with its peer, unless that is gone; theirs is
// when the peer began it, zero for one of ours. Where it has begun too many, the
// oldest makes way.
func (w *Wire) addSession(p *peer, q *quic.Conn, theirs time.Time) (*session, error) {
	s := &session{p: p, q: q, theirs: theirs}
	w.mu.Lock()
	if w.closed || p.cut.Load() {
		w.mu.Unlock()
		q.CloseWithError(CodeCut, "")
		return nil, errCut
	}
	c := p.contact()
	if c.sessions == nil {
		c.sessions = map[*session]struct{}{}
	}
	c.sessions[s] = struct{}{}
	if old := c.excess(); old != nil {
		delete(c.sessions, old)
		w.wg.Go(func() { old.q.CloseWithError(CodeCrowded, "") })
	}
	w.soon(p, time.Now())
	w.mu.Unlock()
	context.AfterFunc(q.Context(), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(c.sessions, s)
	})
	return s, nil
}

// excess is the oldest session that the peer began, where there are too many.
func (c *contact) excess() *session {
	var oldest *session
	n := 0
	for s := range c.sessions {
		if s.theirs.IsZero() {
			continue
		}
		if n++; oldest == nil || s.theirs.Before(oldest.theirs) {
			oldest = s
		}
	}
	if n <= sessionsTheirs {
		return nil
	}
	return oldest
}

// closeSessions closes the peer's sessions and dials without waiting. Callers
// hold Wire.mu.
func (p *peer) closeSessions(why error) {
	code := quic.ApplicationErrorCode(CodeCut)
	if errors.Is(why, errRestarted) {
		code = CodeRestarted
	}
	for s := range p.c.sessions {
		p.wire.wg.Go(func() { s.q.CloseWithError(code, "") })
	}
	clear(p.c.sessions)
	for d := range p.c.dialing {
		d.cancel(why)
	}
}

// dialing is a Dial that waits for the peer.
type dialing struct{ cancel context.CancelCauseFunc }

// Dial opens a control session. It seeks a path and waits for it until ctx
// ends.
func (w *Wire) Dial(ctx context.Context, id key.Public) (Session, error) {
	for {
		s, err := w.dial(ctx, id)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errRestarted) || ctx.Err() != nil {
			return nil, fmt.Errorf("dial %s: %w", id.Short(), err)
		}
	}
}

func (w *Wire) dial(ctx context.Context, id key.Public) (*session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p, addr, ready, leave, err := w.beginDial(id, cancel)
	if err != nil {
		return nil, err
	}
	defer leave()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	q, err := w.quic.transport.Dial(ctx, addr, tlsConfig(w.quic.cert, id), quicConfig)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return w.addSession(p, q, time.Time{})
}

// beginDial has the peer sought; ready is closed when there is a path.
func (w *Wire) beginDial(id key.Public, cancel context.CancelCauseFunc) (p *peer, addr *peerAddr, ready <-chan struct{}, leave func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p = w.dir.Load().byID[id]
	switch {
	case w.closed:
		return nil, nil, nil, nil, ErrClosed
	case p == nil:
		return nil, nil, nil, nil, ErrUnknownPeer
	}
	c, d := p.contact(), &dialing{cancel}
	if c.dialing == nil {
		c.dialing = map[*dialing]struct{}{}
	}
	c.dialing[d] = struct{}{}
	if c.ready == nil {
		c.ready = make(chan struct{})
	}
	ready = c.ready
	if c.paths.best != nil && c.boot != 0 {
		close(c.ready)
		c.ready = nil
	} else {
		p.again(time.Now())
	}
	return p, c.addr, ready, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(c.dialing, d)
	}, nil
}
