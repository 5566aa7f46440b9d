// Package server answers the helper's clients: HTTP/1.1 and JSON over the
// transport, one handler a verb. It bounds what a client may send, asks an
// Authorizer before it reads a request and hides from readers what is the
// operators'. It decides no rights and must not import the helper.
package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"kith.internal/ipc"
	"kith.internal/ipc/transport"
)

// Authorizer says what a caller may do. It is asked for each request and, of a
// watcher, for each event: an answer counts for the moment alone.
type Authorizer interface {
	// Authorize returns nil or an *ipc.Error.
	Authorize(transport.Identity, ipc.Verb) error
	Rights(transport.Identity) []ipc.Right
}

// Caller is who asks.
type Caller struct {
	transport.Identity
	May []ipc.Right
}

// Can tells whether the caller has right r.
func (c Caller) Can(r ipc.Right) bool {
	for _, m := range c.May {
		if m == r {
			return true
		}
	}
	return false
}

// Limits bound what clients can take up; zero fields take the defaults.
type Limits struct {
	Conns        int           // connections in all, root's own apart: 128
	UserConns    int           // connections of one user: 32
	Watchers     int           // watch streams in all, root's own apart: 64
	UserWatchers int           // watch streams of one user: 16
	Read         time.Duration // to send a header, and again a body: 10 s
	Write        time.Duration // to take an answer, or one event: 5 s
	Idle         time.Duration // between requests: 1 min
	Gap          time.Duration // between two events of one stream: 100 ms
	Grace        time.Duration // for requests under way when the server ends: 2 s
}

func (l Limits) withDefaults() Limits {
	d := Limits{128, 32, 64, 16, 10 * time.Second, 5 * time.Second, time.Minute, 100 * time.Millisecond, 2 * time.Second}
	or := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	orTime := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	or(&l.Conns, d.Conns)
	or(&l.UserConns, d.UserConns)
	or(&l.Watchers, d.Watchers)
	or(&l.UserWatchers, d.UserWatchers)
	orTime(&l.Read, d.Read)
	orTime(&l.Write, d.Write)
	orTime(&l.Idle, d.Idle)
	orTime(&l.Gap, d.Gap)
	orTime(&l.Grace, d.Grace)
	return l
}

// Config is what a Server needs.
type Config struct {
	Version    string // the helper's build
	Source     Source
	Authorizer Authorizer
	Log        *slog.Logger
	Limits     Limits
}

// Server answers version, status and watch from its Source; all other verbs are
// registered with Handle and HandleStream before Serve.
type Server struct {
	cfg      Config
	log      *slog.Logger
	limits   Limits
	mux      map[string]route
	views    views
	watchers counter
}

type route struct {
	verb  ipc.Verb
	serve func(http.ResponseWriter, *http.Request, Caller)
}

// New makes a server that answers version, status and watch.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, log: cfg.Log, limits: cfg.Limits.withDefaults(), mux: map[string]route{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.watchers = counter{max: s.limits.Watchers, userMax: s.limits.UserWatchers}
	Handle(s, ipc.VerbVersion, func(context.Context, Caller, struct{}) (ipc.VersionAnswer, error) {
		return ipc.VersionAnswer{Protocol: ipc.Version, Version: cfg.Version}, nil
	})
	Handle(s, ipc.VerbStatus, func(context.Context, Caller, struct{}) (ipc.Status, error) {
		st, _, _ := cfg.Source.Snapshot()
		return *st, nil
	})
	s.register(ipc.VerbWatch, s.serveWatch)
	return s
}

// register panics where a verb has a handler already: a mistake of the program.
func (s *Server) register(v ipc.Verb, fn func(http.ResponseWriter, *http.Request, Caller)) {
	if _, ok := s.mux[v.Path()]; ok {
		panic(fmt.Sprintf("server: verb %s registered twice", v))
	}
	s.mux[v.Path()] = route{v, fn}
}

// Missing lists the verbs without a handler.
func (s *Server) Missing() []ipc.Verb {
	var out []ipc.Verb
	for _, v := range ipc.Verbs {
		if _, ok := s.mux[v.Path()]; !ok {
			out = append(out, v)
		}
	}
	return out
}

// Serve answers clients of ln until ctx ends, then gives requests under way a
// moment and returns nil. It closes ln.
func (s *Server) Serve(ctx context.Context, ln transport.Listener) error {
	base, cancel := context.WithCancel(context.Background())
	defer cancel()
	srv := &http.Server{
		Handler:           http.HandlerFunc(s.serveHTTP),
		ReadHeaderTimeout: s.limits.Read,
		IdleTimeout:       s.limits.Idle,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withPeer,
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true)

	limited := &limitListener{
		Listener: ln, log: s.log,
		conns:   counter{max: s.limits.Conns, userMax: s.limits.UserConns},
		refused: counter{max: s.limits.Conns, userMax: s.limits.UserConns},
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(limited) }()
	select {
	case err := <-failed:
		srv.Close()
		return fmt.Errorf("accept clients: %w", err)
	case <-ctx.Done():
	}
	cancel() // ends the watchers, and tells the others
	grace, stop := context.WithTimeout(context.Background(), s.limits.Grace)
	defer stop()
	if srv.Shutdown(grace) != nil {
		srv.Close()
	}
	<-failed
	return nil
}

type peerKey struct{}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	if lc, ok := c.(*limitConn); ok {
		return context.WithValue(ctx, peerKey{}, lc.Peer)
	}
	return ctx
}

// serveHTTP judges the request by its header alone, then hands it on.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set(ipc.ProtocolHeader, fmt.Sprint(ipc.Version))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	// Bounds what is read of a body that nobody wants, too.
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.limits.Read))
	out := &answer{ResponseWriter: w}
	defer s.recovered(out, r)

	id, ok := r.Context().Value(peerKey{}).(transport.Identity)
	if !ok {
		s.fail(out, r, ipc.Errorf(ipc.CodePermission, "the system does not say who is asking"))
		return
	}
	rt, err := s.route(r)
	if err == nil {
		err = s.cfg.Authorizer.Authorize(id, rt.verb)
	}
	if err != nil {
		s.fail(out, r, err)
		return
	}
	rt.serve(out, r, Caller{Identity: id, May: s.cfg.Authorizer.Rights(id)})
}

// route finds the verb and refuses what no client of ours sends: a browser's
// page must get nowhere even if something lets it reach the socket.
func (s *Server) route(r *http.Request) (route, error) {
	if r.Host != ipc.Host || r.Header.Get("Origin") != "" || r.Header.Get("Referer") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return route{}, ipc.Errorf(ipc.CodePermission, "requests of browsers are not answered")
	}
	rt, ok := s.mux[r.URL.Path]
	if !ok || r.URL.RawQuery != "" {
		// A newer client asks for what this helper does not have.
		if err := sameProtocol(r); err != nil {
			return route{}, err
		}
		return route{}, ipc.Errorf(ipc.CodeUsage, "the helper has no such verb")
	}
	if r.Method != rt.verb.Method() {
		return route{}, ipc.Errorf(ipc.CodeUsage, "%s wants %s", rt.verb, rt.verb.Method())
	}
	if !rt.verb.ReadsAcrossVersions() {
		if err := sameProtocol(r); err != nil {
			return route{}, err
		}
	}
	return rt, nil
}

func sameProtocol(r *http.Request) error {
	if got := r.Header.Get(ipc.ProtocolHeader); got != fmt.Sprint(ipc.Version) {
		return ipc.Errorf(ipc.CodeVersion, "the helper speaks protocol %d, this program %q", ipc.Version, got)
	}
	return nil
}

// recovered turns a handler's panic into an answer.
func (s *Server) recovered(w *answer, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	s.log.Error("a request failed inside the helper", "verb", r.URL.Path, "panic", p, "stack", stack())
	if w.began {
		panic(http.ErrAbortHandler) // half an answer must not look whole
	}
	s.fail(w, r, ipc.Errorf(ipc.CodeInternal, "the helper made a mistake; its log says more"))
}

// answer remembers whether anything was sent.
type answer struct {
	http.ResponseWriter
	began bool
}

func (a *answer) WriteHeader(code int) { a.began = true; a.ResponseWriter.WriteHeader(code) }

func (a *answer) Write(b []byte) (int, error) { a.began = true; return a.ResponseWriter.Write(b) }

// Unwrap lets http.ResponseController through.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

var _ io.Writer = (*answer)(nil)
