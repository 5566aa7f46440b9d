// Package forward owns asking other resolvers: which of them, in what order,
// how long to wait, and whether an answer is one to that question. It imports
// nothing of ours.
package forward

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

var (
	// ErrNoUpstream means that the table names no server for the question.
	ErrNoUpstream = errors.New("no upstream resolver")
	// ErrLoop means that a server asks us what we ask it.
	ErrLoop = errors.New("upstream resolver forwards to us")
	// ErrMalformed means that the query is none.
	ErrMalformed = errors.New("malformed query")
)

// Config is what a Forwarder needs.
type Config struct {
	// Dial opens a socket to a server; nil is a net.Dialer. Each query over UDP
	// has its own, so its source port is the OS's random choice.
	Dial func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error)
	// LocalAddrs are the host's addresses; nil asks the OS. Only a server on one
	// of them can reach the stub, and so be in a loop with it.
	LocalAddrs func() []netip.Addr
	Roots      *x509.CertPool // for servers over TLS; nil: the system's
	Log        *slog.Logger
}

// Table says who is asked for what.
type Table struct {
	Default []netip.AddrPort            // the system's own resolvers, in its order
	Split   map[string][]netip.AddrPort // by suffix, "corp.example"; the longest match rules; an empty list: nobody is asked
	Own     []netip.Addr                // where we answer: never asked
	Secure  map[netip.AddrPort]Secure   // servers that are asked over TLS alone
}

func (t Table) equal(u Table) bool {
	return slices.Equal(t.Default, u.Default) && maps.Equal(t.Secure, u.Secure) && maps.EqualFunc(t.Split, u.Split, slices.Equal)
}

func (t Table) clone() Table {
	c := Table{Default: slices.Clone(t.Default), Split: make(map[string][]netip.AddrPort, len(t.Split)), Secure: maps.Clone(t.Secure)}
	for suffix, servers := range t.Split {
		c.Split[suffix] = slices.Clone(servers)
	}
	return c
}

// Flush forgets the answers that are kept, as is right when the host may be on
// another network.
func (f *Forwarder) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.generation++
	f.cache.flush()
}

// Forwarder asks servers. Its methods may be called by any goroutine.
type Forwarder struct {
	cfg    Config
	probe  string // names under it that come back to us show a loop
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex // guards what follows, and every server's score
	closed  bool
	servers map[netip.AddrPort]*server
	byName  []*server
	split   map[string][]*server
	asked   map[string]int // questions under way
	table   Table          // as last set
	// generation counts the tables that were not the one before.
	generation uint64
	behind     int // questions under way that nobody waits for

	cache cache
}

// New makes a forwarder that knows no servers yet.
func New(cfg Config) *Forwarder {
	if cfg.Dial == nil {
		cfg.Dial = func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, server.String())
		}
	}
	if cfg.LocalAddrs == nil {
		cfg.LocalAddrs = localAddrs
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	var nonce [8]byte
	rand.Read(nonce[:])
	f := &Forwarder{
		cfg:     cfg,
		probe:   hex.EncodeToString(nonce[:]) + ".kith-loop.test", // RFC 6761 §6.2: nobody's name
		servers: make(map[netip.AddrPort]*server),
		asked:   make(map[string]int),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

func localAddrs() []netip.Addr {
	var out []netip.Addr
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// Set replaces the table. A server that stays keeps its score; those on this
// host are probed for a loop.
func (f *Forwarder) Set(t Table) {
	local := f.cfg.LocalAddrs()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !t.equal(f.table) {
		f.table = t.clone()
		f.generation++
		f.cache.flush()
	}
	old := f.servers
	f.servers = make(map[netip.AddrPort]*server)
	own := make(map[netip.Addr]bool)
	for _, a := range t.Own {
		own[a.Unmap().WithZone("")] = true
	}
	resolve := func(addrs []netip.AddrPort) []*server {
		out := []*server{}
		for _, ap := range addrs {
			ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
			if !ap.IsValid() || own[ap.Addr().WithZone("")] || ap.Addr().IsUnspecified() || f.has(out, ap) {
				continue
			}
			s := f.servers[ap]
			if s == nil {
				how, secure := t.Secure[ap]
				if s = old[ap]; s == nil || (s.secure != nil) != secure || secure && s.secure.Secure != how {
					s = &server{addr: ap}
					if secure {
						s.secure = f.secure(s, how)
					}
				}
				s.local = isLocal(ap.Addr(), local)
				f.servers[ap] = s
			}
			out = append(out, s)
		}
		return out
	}
	f.byName = resolve(t.Default)
	f.split = make(map[string][]*server, len(t.Split))
	for suffix, addrs := range t.Split {
		f.split[strings.ToLower(strings.Trim(suffix, "."))] = resolve(addrs)
	}
	f.closeSecure(old)
	for _, s := range f.servers {
		f.probeLoop(s)
	}
}

func (f *Forwarder) has(list []*server, ap netip.AddrPort) bool {
	for _, s := range list {
		if s.addr == ap {
			return true
		}
	}
	return false
}

func isLocal(a netip.Addr, local []netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	for _, l := range local {
		if l.WithZone("") == a.WithZone("") {
			return true
		}
	}
	return false
}

const (
	totalTime = 4500 * time.Millisecond // less than the 5 s after which clients ask again
	manySame  = 8                       // one question so often at once may be a loop
	maxSame   = 64                      // and is not asked once more
)

// Forward returns the answer to a query, whatever its RCODE, with the query's ID
// and question: from the cache, or the first that a server gives.
func (f *Forwarder) Forward(ctx context.Context, query []byte) ([]byte, error) {
	q, ok := parseQuestion(query)
	if !ok {
		return nil, ErrMalformed
	}
	if f.loopFound(q.name) {
		return nil, ErrLoop
	}
	req := newRequest(query, q)
	known := f.cache.get(req.key, query)
	if known.renew {
		f.renew(&req)
	}
	if known.answer != nil {
		return known.answer, nil
	}
	if known.stale != nil {
		return f.orStale(ctx, query, &req, known.stale)
	}
	answer, err := f.learn(ctx, &req)
	if err != nil {
		return nil, err
	}
	copy(answer[:2], query[:2])
	copy(answer[headerLen:q.end], query[headerLen:q.end]) // the client's own spelling
	return answer, nil
}

// learn asks servers, and keeps what they say.
func (f *Forwarder) learn(ctx context.Context, req *request) ([]byte, error) {
	servers, generation, done, err := f.begin(req.question)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, totalTime)
	defer cancel()
	stop := context.AfterFunc(f.ctx, cancel)
	defer stop()
	answer, err := f.race(ctx, req, servers)
	if err != nil {
		return nil, fmt.Errorf("ask %d upstream resolvers: %w", len(servers), err)
	}
	f.mu.Lock()
	if generation == f.generation { // else the answer is another network's
		f.cache.put(req.key, answer.msg, &answer.shape, req.end)
	}
	f.mu.Unlock()
	return answer.msg, nil
}

// begin picks the servers and counts the question as under way.
func (f *Forwarder) begin(q question) (servers []*server, generation uint64, done func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, 0, nil, net.ErrClosed
	}
	now := time.Now()
	looping := false
	for _, s := range f.route(q.name) {
		if s.loopUntil.After(now) {
			looping = true
			continue
		}
		servers = append(servers, s)
	}
	key := q.name + string(q.tail[:])
	if f.asked[key] == manySame {
		for _, s := range servers {
			f.probeLoop(s)
		}
	}
	switch {
	case len(servers) == 0 && looping:
		return nil, 0, nil, ErrLoop
	case len(servers) == 0:
		return nil, 0, nil, ErrNoUpstream
	case f.asked[key] >= maxSame:
		return nil, 0, nil, ErrLoop
	}
	f.asked[key]++
	f.work.Add(1)
	return servers, f.generation, func() {
		f.mu.Lock()
		if f.asked[key]--; f.asked[key] == 0 {
			delete(f.asked, key)
		}
		f.mu.Unlock()
		f.work.Done()
	}, nil
}

// route finds the servers for a name, lower-case and without trailing dot.
func (f *Forwarder) route(name string) []*server {
	if len(f.split) > 0 {
		for s := name; ; {
			if servers, ok := f.split[s]; ok {
				return servers
			}
			i := strings.IndexByte(s, '.')
			if i < 0 {
				break
			}
			s = s[i+1:]
		}
	}
	return f.byName
}

// Close ends what is under way and waits for it.
func (f *Forwarder) Close() error {
	f.mu.Lock()
	f.closed = true
	f.cancel()
	old := f.servers
	f.mu.Unlock()
	f.work.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.servers = nil
	f.closeSecure(old)
	return nil
}
