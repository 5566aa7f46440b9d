package portmap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"
)

// drop forgets what has run out, and gives back what is not wanted any more.
func (s *session) drop(ctx context.Context, ports []uint16) {
	for p, l := range s.leases {
		if !time.Now().Before(l.until()) {
			delete(s.leases, p)
		} else if !slices.Contains(ports, p) {
			delete(s.leases, p)
			_ = l.by.shut(ctx, l) // or it runs out
		}
	}
	maps.DeleteFunc(s.due, func(p uint16, _ time.Time) bool { return !slices.Contains(ports, p) })
}

// verify asks at times, or when told to, whether what is held still is.
func (s *session) verify(ctx context.Context) {
	held := slices.SortedFunc(maps.Values(s.leases), func(a, b lease) int { return cmp.Compare(a.internal, b.internal) })
	held = slices.DeleteFunc(held, func(l lease) bool { return l.by != s.method })
	if time.Now().Before(s.checkAt) || len(held) == 0 {
		return
	}
	s.checkAt = time.Now().Add(checkEvery)
	lost, err := s.method.check(ctx, held)
	if !lost && err == nil {
		return
	}
	if lost {
		s.note(Restarted, "%v", s.gateway)
	}
	clear(s.due)
}

// renew asks for what is missing or due.
func (s *session) renew(ctx context.Context, ports []uint16) {
	asked, failed := 0, 0
	var why error
	for _, p := range ports {
		if time.Now().Before(s.due[p]) || ctx.Err() != nil {
			continue
		}
		asked++
		l, err := s.open(ctx, s.method, p, s.leases[p])
		if err != nil {
			failed++
			why = err
			s.due[p] = time.Now().Add(s.again(p, err))
			continue
		}
		s.hold(l)
		s.tell()
	}
	if asked == 0 || ctx.Err() != nil {
		return
	}
	s.err = why
	if failed < asked {
		s.failures = 0
		return
	}
	if s.failures++; s.failures >= 2 || len(s.leases) == 0 {
		s.method, s.failures = nil, 0
		s.searchAt = time.Now()
		if len(s.leases) == 0 {
			s.searchAt = time.Now().Add(s.pause())
		}
	}
}

// hold keeps what was granted, and has it renewed at half of its time.
func (s *session) hold(l lease) {
	half := l.lasts / 2
	s.leases[l.internal] = l
	s.due[l.internal] = l.since.Add(max(minRenewal, half-rand.N(half/8)))
}

// again is how long to wait with a port that was refused: for what is held,
// shorter as its end comes near (RFC 6887 §11.2.1).
func (s *session) again(port uint16, err error) time.Duration {
	l, held := s.leases[port]
	if !held {
		return max(backoff[min(1, s.failures)], after(err))
	}
	return max(minRenewal, min(time.Until(l.until())/2, minRenewal<<min(s.failures, 6)))
}

// pause is how long to leave a gateway alone that gave nothing. One that has
// given something starts anew, perhaps.
func (s *session) pause() time.Duration {
	d := backoff[min(s.searches, len(backoff)-1)]
	if len(s.leases) > 0 {
		d = backoff[0]
	}
	return max(d+rand.N(d/8), after(s.err))
}

// after is how long a refusal stands.
func after(err error) time.Duration {
	var r *Refusal
	if errors.As(err, &r) {
		return min(r.After, backoff[len(backoff)-1])
	}
	return 0
}

// linger is ctx with some more time after it is cancelled, so that what is being
// granted at that moment becomes known and can be given back.
func linger(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.AfterFunc(lingerTime, cancel)
		context.AfterFunc(longer, func() { t.Stop() })
	})
	return longer, func() { stop(); cancel() }
}

// open asks for a port and judges what is granted.
func (s *session) open(ctx context.Context, m method, port uint16, old lease) (lease, error) {
	if old.by != m {
		old = lease{} // another protocol's is none of this one's
	}
	ctx, cancel := linger(ctx)
	defer cancel()
	l, err := m.open(ctx, port, old)
	if err != nil {
		return lease{}, fmt.Errorf("ask for port %d: %w", port, err)
	}
	l.by, l.since = m, time.Now()
	if err := s.plausible(l.external); err != nil {
		s.note(Implausible, "%v", err)
		_ = m.shut(ctx, l)
		return lease{}, err
	}
	if l.lasts < minLease {
		s.note(BadLease, "%v", l.lasts)
		_ = m.shut(ctx, l)
		return lease{}, fmt.Errorf("port %d was granted for %v only", port, l.lasts)
	}
	if l.lasts > oddLease {
		s.note(LongLease, "%v", l.lasts)
	}
	l.lasts = min(l.lasts, maxLease)
	return l, nil
}
