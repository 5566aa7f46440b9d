package portmap

import (
	"context"
	"errors"
	"sync"
	"time"
)

// grace is how long a method waits for the better ones before it.
var grace = [...]time.Duration{0, 300 * time.Millisecond, 600 * time.Millisecond}

// search asks by all methods at once, and takes the best that grants a port.
func (s *session) search(ctx context.Context, ports []uint16) {
	if len(ports) == 0 {
		return
	}
	methods := []method{&pcp{link: &s.link, seed: s.m.cfg.Seed}}
	if s.local.Is4() {
		methods = append(methods, &natpmp{link: &s.link}, &igd{link: &s.link})
	}
	port := ports[0]
	m, l, err := s.race(ctx, methods, port)
	if m == nil && errors.Is(err, ErrSilent) {
		// A gateway that does not know the probe may know the request.
		if granted, err := s.open(ctx, methods[0], port, s.leases[port]); err == nil {
			m, l = methods[0], granted
		}
	}
	s.err = err
	if m == nil {
		if ctx.Err() == nil {
			// It may be another gateway by now, with the same address.
			for p, l := range s.leases {
				l.lapsed = true
				s.leases[p] = l
			}
			s.m.cfg.Log.Debug("no port mapping", "gateway", s.gateway, "interface", s.name, "err", err)
		}
		s.searchAt = time.Now().Add(s.pause())
		s.searches++
		return
	}
	s.method, s.err, s.searches, s.failures = m, nil, 0, 0
	s.hold(l)
	s.checkAt = time.Now().Add(checkEvery)
	s.m.cfg.Log.Info("the gateway maps ports", "gateway", s.gateway, "interface", s.name, "method", m.name().String(), "outside", l.external)
}

// race gives the best method that works, with what it was granted. The error is
// the most telling one.
func (s *session) race(ctx context.Context, methods []method, port uint16) (method, lease, error) {
	ctx, cancel := context.WithCancel(ctx)
	var probes sync.WaitGroup
	defer func() {
		cancel()
		probes.Wait()
	}()
	type result struct {
		i   int
		err error
	}
	results := make(chan result, len(methods))
	for i, m := range methods {
		probes.Go(func() { results <- result{i, m.probe(ctx)} })
	}
	answered := make([]bool, len(methods)) // and not tried yet
	over := make([]bool, len(methods))
	var why error
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for left := len(methods); left > 0; {
		select {
		case <-ctx.Done():
			return nil, lease{}, ctx.Err()
		case <-timer.C:
		case r := <-results:
			answered[r.i], over[r.i] = r.err == nil, r.err != nil
			why = telling(why, r.err)
		}
		wait := time.Duration(0)
		left = 0
		for i := range methods {
			if over[i] {
				continue
			}
			left++
			if !answered[i] {
				wait = max(wait, grace[min(i+1, len(grace)-1)]-time.Since(start))
				continue
			}
			if wait > 0 {
				timer.Reset(wait)
				break
			}
			l, err := s.open(ctx, methods[i], port, s.leases[port])
			if err == nil {
				return methods[i], l, nil
			}
			over[i], answered[i] = true, false
			left--
			why = telling(why, err)
		}
	}
	return nil, lease{}, why
}

// telling picks the error that says more.
func telling(a, b error) error {
	if weight(b) > weight(a) {
		return b
	}
	return a
}

func weight(err error) int {
	var r *Refusal
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrSilent):
		return 1
	case errors.Is(err, ErrNotOffered), errors.As(err, &r) && r.Method != UPnP && r.Code == pcpUnsupported:
		return 2
	}
	return 3
}
