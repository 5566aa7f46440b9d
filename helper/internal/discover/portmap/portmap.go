// Package portmap has the gateways of all uplinks let UDP ports of ours through,
// by PCP (RFC 6887), NAT-PMP (RFC 6886) or UPnP, keeps them open, and gives them
// back. What gateways say is checked, bounded and never needed. Of ours it
// imports netmon and bypass alone.
package portmap

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"kith.internal/helper/internal/osnet/netmon"
)

const (
	maxPorts    = 32
	maxSessions = 8 // gateways times our addresses
)

// Source tells of the host's network: a netmon.Watcher.
type Source interface {
	State() (netmon.State, error)
	Routes() ([]netmon.Route, error)
}

// Config is what a Mapper works with.
type Config struct {
	Source  Source
	Network Network // nil: the host's
	// Seed makes the nonces by which PCP gateways know us as the owner of a
	// mapping (RFC 6887 §11.2). Kept secret and over restarts, it lets us take
	// over what a crash left; zero: each process has its own.
	Seed [32]byte
	Log  *slog.Logger
}

// Mapper keeps ports open. Its methods may be called from any goroutine; only
// Close waits for anything.
type Mapper struct {
	cfg     Config
	changes chan struct{}
	tasks   sync.WaitGroup

	mu       sync.Mutex // guards what follows; held for calculations only
	closed   bool
	ports    []uint16
	sessions map[place]*session
	mapped   map[uint16][]netip.AddrPort
}

// New makes a Mapper, which asks nobody before Set.
func New(cfg Config) *Mapper {
	if cfg.Network == nil {
		cfg.Network = host{}
	}
	if cfg.Seed == ([32]byte{}) {
		rand.Read(cfg.Seed[:])
	}
	return &Mapper{cfg: cfg, changes: make(chan struct{}, 1), sessions: make(map[place]*session)}
}

// Set says which ports are wanted, all of them, and reads which gateways there
// are: it is to be called after each change of the network, too. Of many ports
// the first 32 count.
func (m *Mapper) Set(ports []uint16) {
	ports = slices.DeleteFunc(slices.Clone(ports), func(p uint16) bool { return p == 0 })
	ports = ports[:min(len(ports), maxPorts)]
	state, err := m.cfg.Source.State()
	if err != nil {
		m.cfg.Log.Warn("read the host's interfaces for port mapping", "err", err)
	}
	routes, err := m.cfg.Source.Routes()
	if err != nil {
		m.cfg.Log.Warn("read the host's routes for port mapping", "err", err)
	}
	links := places(state.Interfaces, routes)

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	if len(ports) == 0 {
		links = nil
	}
	m.ports = ports
	for p, s := range m.sessions {
		if !slices.ContainsFunc(links, func(l uplink) bool { return l.place == p }) {
			delete(m.sessions, p)
			s.end()
		}
	}
	for _, l := range links {
		s := m.sessions[l.place]
		if s == nil {
			ctx, cancel := context.WithCancel(context.Background())
			s = newSession(m, l, cancel)
			m.sessions[l.place] = s
			m.tasks.Go(func() { s.run(ctx) })
		}
		s.want(ports)
	}
	m.recount()
}

// Recheck asks all gateways at once whether what they granted still stands,
// after sleep or where our outside address is doubted, and those that gave
// nothing once more.
func (m *Mapper) Recheck() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		s.recheck()
	}
}

// Changes has something to receive after Mapped changed. It is never closed.
func (m *Mapper) Changes() <-chan struct{} { return m.changes }

// Mapped is where each port is reached from outside: at public addresses, or
// where there are none of a family at private ones, which serve peers behind the
// same outer NAT.
func (m *Mapper) Mapped() map[uint16][]netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.mapped)
}

// Report is what the gateways said, for the network check.
func (m *Mapper) Report() []Gateway {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Gateway, 0, len(m.sessions))
	for _, s := range m.sessions {
		out = append(out, s.told.clone())
	}
	slices.SortFunc(out, Gateway.compare)
	return out
}

// Close gives all mappings back, as far as the gateways answer in time, which
// is two seconds at most. It may be called more than once.
func (m *Mapper) Close() error {
	m.mu.Lock()
	m.closed = true
	for _, s := range m.sessions {
		s.end()
	}
	clear(m.sessions)
	m.recount()
	m.mu.Unlock()
	m.tasks.Wait()
	return nil
}

// tell takes over what a session has to tell, unless it has been ended.
func (m *Mapper) tell(s *session, g Gateway) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sessions[s.place] != s {
		return
	}
	s.told = g
	m.recount()
}

// recount makes Mapped out of what the sessions told. The Mapper is locked.
func (m *Mapper) recount() {
	next := make(map[uint16][]netip.AddrPort)
	for _, four := range []bool{true, false} {
		public := false
		for _, s := range m.sessions {
			for _, x := range s.told.Mappings {
				public = public || x.External.Addr().Is4() == four && isPublic(x.External.Addr())
			}
		}
		for _, s := range m.sessions {
			for _, x := range s.told.Mappings {
				a := x.External.Addr()
				if a.Is4() == four && (!public || isPublic(a)) && slices.Contains(m.ports, x.Internal) &&
					!slices.Contains(next[x.Internal], x.External) {
					next[x.Internal] = append(next[x.Internal], x.External)
				}
			}
		}
	}
	for _, addrs := range next {
		slices.SortFunc(addrs, netip.AddrPort.Compare)
	}
	if maps.EqualFunc(next, m.mapped, slices.Equal[[]netip.AddrPort]) {
		return
	}
	m.mapped = next
	select {
	case m.changes <- struct{}{}:
	default:
	}
}
