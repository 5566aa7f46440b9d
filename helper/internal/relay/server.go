package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/key"
)

const (
	maxLinks     = 4096
	maxLinksKey  = 16
	maxHeader    = 4 << 10 // net/http adds 4 KiB
	totalChunks  = 3072    // 48 MiB of queues in all, beyond 16 KiB a link
	switchAnswer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n\r\n"
)

// ServerConfig is what a relay needs. Serve owns the listener from then on.
type ServerConfig struct {
	Listener net.Listener
	Cert     tls.Certificate
	// Open says whose token it is; it counts only with the binding of its own TLS
	// session. It is called by many goroutines, and with bytes of strangers.
	Open func(token, binding []byte) (key.Public, bool)
	// Attach is given a member's link, reads it to its end and closes it. It does
	// not wait for that.
	Attach func(key.Public, *Link)
	Log    *slog.Logger
}

// Server is the relay's TCP port. To who is no member it is a web server that
// has no pages.
type Server struct {
	cfg       ServerConfig
	gate      *gate
	http      *http.Server
	strangers http.Handler
	budget    *budget
	refused   atomic.Uint64
	served    chan struct{}

	mu     sync.Mutex
	closed bool
	links  map[key.Public][]*Link // oldest first; nil: reserved, soon a link
	n      int
	idle   sync.WaitGroup
}

// Serve starts a relay.
func Serve(cfg ServerConfig) (*Server, error) {
	switch {
	case cfg.Listener == nil || cfg.Open == nil || cfg.Attach == nil:
		return nil, errors.New("start relay: a listener, Open and Attach are needed")
	case len(cfg.Cert.Certificate) == 0:
		return nil, errors.New("start relay: no certificate")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, gate: newGate(cfg.Listener), strangers: http.NewServeMux(), budget: newBudget(totalChunks),
		served: make(chan struct{}), links: map[key.Public][]*Link{},
	}
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: pendingFor,
		MaxHeaderBytes:    maxHeader,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, guestKey{}, c.(*tls.Conn).NetConn())
		},
		ErrorLog: log.New(io.Discard, "", 0), // strangers would write it
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(tls.NewListener(s.gate, serverTLS(cfg.Cert))); !errors.Is(err, http.ErrServerClosed) {
			cfg.Log.Error("the relay stopped listening", "err", err)
		}
	}()
	return s, nil
}

type guestKey struct{} // of the *guest that a request came by

// ServeHTTP answers a request: a member's by a link, any other as a server
// without pages does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, ok := s.who(r)
	if !ok {
		s.refused.Add(1)
		if g, ok := r.Context().Value(guestKey{}).(*guest); ok && g.enough() {
			w.Header().Set("Connection", "close")
		}
		s.strangers.ServeHTTP(w, r)
		return
	}
	if !s.reserve(id) {
		w.WriteHeader(http.StatusServiceUnavailable) // a member may know
		return
	}
	defer s.idle.Done()
	if err := s.attach(w, id); err != nil {
		s.release(id, nil)
		s.cfg.Log.Debug("relay link not made", "device", id.Short(), "err", err)
	}
}

// who is the member that asks.
func (s *Server) who(r *http.Request) (key.Public, bool) {
	tok, ok := token(r)
	if !ok || r.TLS == nil {
		return key.Public{}, false
	}
	b, err := r.TLS.ExportKeyingMaterial(bindingLabel, nil, bindingSize)
	if err != nil {
		return key.Public{}, false
	}
	return s.cfg.Open(tok, b)
}

// reserve takes a place for a link. When a key has all that it may, its oldest
// link goes: it is likely the half-dead one of a device that moved.
func (s *Server) reserve(id key.Public) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	mine := s.links[id]
	if len(mine) >= maxLinksKey {
		i := slices.IndexFunc(mine, func(l *Link) bool { return l != nil })
		if i < 0 {
			return false
		}
		mine[i].Close()
		mine = slices.Delete(mine, i, i+1)
		s.n--
	}
	if s.n >= maxLinks {
		s.links[id] = mine
		return false
	}
	s.links[id] = append(mine, nil)
	s.n++
	s.idle.Add(2) // the link, and who attaches it
	return true
}

// release gives a link's place back; nil is a reserved one.
func (s *Server) release(id key.Public, l *Link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.idle.Done()
	mine := s.links[id]
	if i := slices.Index(mine, l); i >= 0 {
		mine = slices.Delete(mine, i, i+1)
		s.n--
	}
	if s.links[id] = mine; len(mine) == 0 {
		delete(s.links, id)
	}
}

// attach turns the request's connection into a link.
func (s *Server) attach(w http.ResponseWriter, id key.Public) error {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	conn, ok := c.(*tls.Conn)
	if !ok {
		c.Close()
		return fmt.Errorf("a %T is no TLS connection", c)
	}
	var early []byte
	if n := rw.Reader.Buffered(); n > 0 {
		b, _ := rw.Reader.Peek(n) // frames sent before our yes was read
		early = bytes.Clone(b)
	}
	conn.SetDeadline(time.Now().Add(pendingFor)) // clipped to the guest's time
	if _, err := io.WriteString(conn, switchAnswer); err != nil {
		conn.NetConn().Close()
		return err
	}
	conn.NetConn().(*guest).admitted()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		conn.NetConn().Close()
		return net.ErrClosed
	}
	var l *Link
	made := make(chan struct{}) // the link may end before it has its place
	l = newLink(conn, early, s.budget, func() { <-made; s.release(id, l) })
	s.links[id][slices.Index(s.links[id], nil)] = l
	close(made)
	s.mu.Unlock()
	s.cfg.Log.Debug("relay link", "device", id.Short(), "from", l.RemoteAddr())
	s.cfg.Attach(id, l)
	return nil
}

// Addr is where the relay listens.
func (s *Server) Addr() net.Addr { return s.gate.Addr() }

// ServerStats is a relay's state, for people.
type ServerStats struct {
	Links      int    // now
	Refused    uint64 // requests of who is no member
	TurnedAway uint64 // connections ended at the door, for there were too many
}

// Stats is the state of now.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ServerStats{Links: s.n, Refused: s.refused.Load(), TurnedAway: s.gate.refused.Load()}
}

// Close ends the listener and all links, and waits for them: a second, or a few
// where a client does not read.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, links := range s.links {
		for _, l := range links {
			if l != nil {
				l.Close()
			}
		}
	}
	s.mu.Unlock()
	err := s.http.Close()
	<-s.served
	s.idle.Wait()
	return err
}
