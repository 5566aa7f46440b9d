// Package stub owns the DNS server on this device's overlay addresses: it
// answers the host's own queries for names of the networks from memory and
// hands the rest to a Forwarder. It imports of ours only the package of names.
package stub

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	mdns "github.com/miekg/dns"

	"kith.internal/dns"
)

const (
	maxForwards = 256  // queries at upstreams at once; past it SERVFAIL
	maxTCP      = 64   // connections at once; past it they are closed
	maxOutside  = 96   // of both, for those who are not this host
	maxQuery    = 4096 // bytes of a query; no honest one comes near
	maxUDP      = 1232 // bytes of an answer over UDP (DNS flag day 2020)
	minUDP      = 512  // without EDNS0 (RFC 1035 §4.2.1)
)

// Forwarder answers what is not ours. Query and answer are whole messages; the
// answer carries the query's ID and question. Any error is a SERVFAIL.
type Forwarder interface {
	Forward(ctx context.Context, query []byte) (answer []byte, err error)
}

// Config is what a Server needs.
type Config struct {
	Forward Forwarder // nil: only our own names resolve
	Outside Forwarder // likewise, for those whom SetServed names
	Sockets Sockets   // nil: the OS's
	Port    uint16    // 0: 53
	Log     *slog.Logger
	// Changed is told, from any goroutine, when a socket begins or ceases to
	// answer after SetAddrs has returned.
	Changed func()
}

// Server answers queries. Its methods may be called by any goroutine.
type Server struct {
	cfg      Config
	zones    atomic.Pointer[dns.Zones]
	own      atomic.Pointer[map[netip.Addr]struct{}]
	served   atomic.Pointer[[]Served]
	forwards chan struct{} // slots
	conns    chan struct{} // slots
	outside  chan struct{} // slots of both for those who are served
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup // forwards and connections

	mu        sync.Mutex // guards what follows
	closed    bool
	listeners map[netip.Addr][]*listener
}

// New makes a server that has no zones and listens nowhere yet.
func New(cfg Config) *Server {
	if cfg.Sockets == nil {
		cfg.Sockets = System
	}
	if cfg.Port == 0 {
		cfg.Port = 53
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg:       cfg,
		forwards:  make(chan struct{}, maxForwards),
		conns:     make(chan struct{}, maxTCP),
		outside:   make(chan struct{}, maxOutside),
		listeners: make(map[netip.Addr][]*listener),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.own.Store(&map[netip.Addr]struct{}{})
	s.served.Store(&[]Served{})
	return s
}

// Set replaces the zones; queries under way finish with the old ones.
func (s *Server) Set(z *dns.Zones) { s.zones.Store(z) }

// Served is who else may ask, beside this host, and the names that they see.
// Others' names are refused unless this device resolves those for them too.
type Served struct {
	From    netip.Prefix
	Zones   *dns.Zones
	Forward bool

	// Public tells an address of the internet. Where it is set those who ask learn of
	// others' names those of the internet alone, whatever the upstreams know.
	Public func(netip.Addr) bool
}

// SetServed replaces who else may ask: members, by choice; by default nobody.
func (s *Server) SetServed(list []Served) { s.served.Store(&list) }

// SetAddrs makes the server listen on these addresses, over UDP and TCP, and
// no others, and answer queries that come from them or from loopback. Each new
// socket is tried once before it returns; the error tells which do not answer
// yet. Those are tried again until they do or are no longer asked for.
func (s *Server) SetAddrs(addrs []netip.Addr) error {
	own := make(map[netip.Addr]struct{}, len(addrs))
	for _, a := range addrs {
		if a = a.Unmap(); a.IsValid() {
			own[a] = struct{}{}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("stub is closed")
	}
	s.own.Store(&own)
	for a, ls := range s.listeners {
		if _, keep := own[a]; !keep {
			for _, l := range ls {
				l.close()
			}
			delete(s.listeners, a)
		}
	}
	for a := range own {
		if s.listeners[a] == nil {
			ap := netip.AddrPortFrom(a, s.cfg.Port)
			s.listeners[a] = []*listener{s.listen("udp", ap), s.listen("tcp", ap)}
		}
	}
	var errs []error
	for _, st := range s.status() {
		errs = append(errs, st.Err)
	}
	return errors.Join(errs...)
}

// Socket is one place where the server answers, or fails to.
type Socket struct {
	Network string // "udp" or "tcp"
	Addr    netip.AddrPort
	Err     error // nil: it answers
}

// Status lists the sockets, by address.
func (s *Server) Status() []Socket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status()
}

func (s *Server) status() []Socket {
	var out []Socket
	for _, a := range slices.SortedFunc(maps.Keys(s.listeners), netip.Addr.Compare) {
		for _, l := range s.listeners[a] {
			out = append(out, Socket{l.network, l.addr, l.failure()})
		}
	}
	return out
}

// Close stops answering and waits until all is quiet.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.cancel()
	for _, ls := range s.listeners {
		for _, l := range ls {
			l.close()
		}
	}
	clear(s.listeners)
	s.mu.Unlock()
	s.work.Wait()
	return nil
}

// client is who asks: the names that are there for it, and who is asked for the
// rest.
type client struct {
	zones   *dns.Zones
	forward Forwarder
	slots   chan struct{} // for forwards
	outside bool
	refuse  bool // what is not ours
}

// clientAt tells who asks from src; nobody else gets an answer.
func (s *Server) clientAt(src netip.Addr) (client, bool) {
	if s.local(src) {
		return client{s.zones.Load(), s.cfg.Forward, s.forwards, false, false}, true
	}
	for _, v := range *s.served.Load() {
		if v.From.Contains(src.Unmap().WithZone("")) {
			c := client{v.Zones, s.cfg.Outside, s.outside, true, !v.Forward}
			if v.Public != nil && c.forward != nil {
				c.forward = guarded{c.forward, v.Public}
			}
			return c, true
		}
	}
	return client{}, false
}

// local reports whether a query from src is this host's own. Others get no
// answer at all, so nobody can be flooded through us.
func (s *Server) local(src netip.Addr) bool {
	src = src.Unmap().WithZone("")
	if src.IsLoopback() {
		return true
	}
	_, ok := (*s.own.Load())[src]
	return ok
}

// refused makes of an answer that says we failed one that says we do not do that.
func refused(failed []byte) []byte {
	if len(failed) >= headerLen {
		failed[3] = failed[3]&^15 | mdns.RcodeRefused
	}
	return failed
}
