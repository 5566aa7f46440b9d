package portmap

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	leaseTime  = time.Hour        // asked for
	minLease   = 30 * time.Second // worth having
	maxLease   = 2 * time.Hour    // trusted
	oddLease   = 24 * time.Hour   // a gateway that grants more is odd (RFC 6887 §7.2)
	minRenewal = 15 * time.Second
	checkEvery = 5 * time.Minute
	recheckGap = 10 * time.Second // between two that are asked for
	stepTime   = 30 * time.Second // for all that is asked at one time
	lingerTime = 500 * time.Millisecond
	endTime    = 1400 * time.Millisecond // to give back what there is
)

// backoff is how long a gateway that gave nothing is left alone, longer each
// time.
var backoff = [...]time.Duration{time.Minute, 5 * time.Minute, 30 * time.Minute}

// lease is a port that was granted.
type lease struct {
	internal uint16
	external netip.AddrPort
	lasts    time.Duration
	since    time.Time
	by       method
	lapsed   bool // the gateway went silent: not to be told, but to be given back
}

func (l lease) until() time.Time { return l.since.Add(l.lasts) }

// method is a protocol at work with one gateway.
type method interface {
	name() Method
	// probe finds out whether the gateway speaks it, changing nothing there.
	probe(ctx context.Context) error
	// open asks for a port, or for more time for what is had of it.
	open(ctx context.Context, internal uint16, old lease) (lease, error)
	// shut gives a port back.
	shut(ctx context.Context, l lease) error
	// check asks whether the gateway still knows what is held.
	check(ctx context.Context, held []lease) (lost bool, err error)
}

// session is a gateway at work, in a goroutine of its own.
type session struct {
	link
	m      *Mapper
	cancel context.CancelFunc
	wake   chan struct{}
	told   Gateway // the Mapper's

	mu         sync.Mutex // guards what follows
	ports      []uint16
	check      bool
	checked    time.Time // for the last time by check
	complaints [complaintKinds]Complaint

	// The goroutine's own:
	method   method
	leases   map[uint16]lease
	due      map[uint16]time.Time // when a port is next asked for
	failures int                  // in a row, of all that was asked
	searches int                  // in a row, in vain
	searchAt time.Time            // not before
	checkAt  time.Time            // not before
	err      error
}

func newSession(m *Mapper, u uplink, cancel context.CancelFunc) *session {
	s := &session{
		m: m, cancel: cancel, wake: make(chan struct{}, 1), leases: make(map[uint16]lease), due: make(map[uint16]time.Time),
		told: Gateway{Interface: u.name, Index: u.index, Addr: u.gateway, Local: u.local},
	}
	s.link = link{uplink: u, net: m.cfg.Network, complain: s.note}
	return s
}

func (s *session) want(ports []uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.ports, ports) {
		s.ports = ports
		s.poke()
	}
}

func (s *session) recheck() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.check = true
	s.poke()
}

func (s *session) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// end makes the session give back what it has, and finish.
func (s *session) end() { s.cancel() }

// note keeps a complaint.
func (s *session) note(k ComplaintKind, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.complaints[k]
	c.Kind, c.Detail = k, fmt.Sprintf(format, args...)
	c.Count++
}

func (s *session) run(ctx context.Context) {
	for {
		wait := s.step(ctx)
		if ctx.Err() != nil {
			s.giveBack()
			return
		}
		s.tell()
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// step does what is due and says how long there is nothing to do.
func (s *session) step(ctx context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	s.mu.Lock()
	ports, now := s.ports, time.Now()
	check := s.check && now.Sub(s.checked) >= recheckGap
	if check {
		s.check, s.checked = false, now
	}
	s.mu.Unlock()
	if check {
		s.checkAt, s.searchAt = now, now
	}
	s.drop(ctx, ports)
	if s.method == nil && !now.Before(s.searchAt) {
		s.search(ctx, ports)
	}
	if s.method != nil {
		s.verify(ctx)
		if check {
			clear(s.due) // a clock that has just begun may not tell of a restart
		}
		s.renew(ctx, ports)
	}
	return s.next(ports)
}

// next is how long there is nothing to do.
func (s *session) next(ports []uint16) time.Duration {
	at := time.Now().Add(backoff[len(backoff)-1])
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	s.mu.Lock()
	if s.check {
		sooner(s.checked.Add(recheckGap))
	}
	s.mu.Unlock()
	if s.method == nil {
		sooner(s.searchAt)
	} else {
		for _, p := range ports {
			sooner(s.due[p])
		}
		if len(s.leases) > 0 {
			sooner(s.checkAt)
		}
	}
	for _, l := range s.leases {
		sooner(l.until())
	}
	return max(time.Until(at), time.Second)
}

// tell gives the Mapper what there is.
func (s *session) tell() {
	g := Gateway{Interface: s.name, Index: s.index, Addr: s.gateway, Local: s.local, Err: s.err}
	if s.method != nil {
		g.Method = s.method.name()
	}
	for _, p := range slices.Sorted(maps.Keys(s.leases)) {
		if l := s.leases[p]; !l.lapsed {
			g.Mappings = append(g.Mappings, Mapping{p, l.external, l.until()})
		}
	}
	s.mu.Lock()
	for _, c := range s.complaints {
		if c.Count > 0 {
			g.Complaints = append(g.Complaints, c)
		}
	}
	s.mu.Unlock()
	s.m.tell(s, g)
}

// giveBack gives back all there is, in the time there is.
func (s *session) giveBack() {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	var all sync.WaitGroup
	for _, l := range s.leases {
		all.Go(func() { _ = l.by.shut(ctx, l) })
	}
	all.Wait()
}
