package discover

import (
	"net/netip"
	"time"
)

// A listener's work is bounded: by source, so that one chatty device does not
// silence the others, and in all. Announcing to 100 devices that start at once
// fits.
const (
	sourceRate, sourceBurst = 4, 24 // a second; and at once
	totalRate, totalBurst   = 200, 600
	maxSources              = 512
)

// bucket is a token bucket.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	b.tokens = min(burst, b.tokens+now.Sub(b.at).Seconds()*rate)
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// limiter decides which datagrams are worth looking at.
type limiter struct {
	total   bucket
	sources map[netip.Addr]*bucket
}

func newLimiter() *limiter {
	return &limiter{total: bucket{totalBurst, time.Now()}, sources: map[netip.Addr]*bucket{}}
}

func (l *limiter) allow(from netip.Addr) bool {
	now := time.Now()
	s := l.sources[from]
	if s == nil {
		if len(l.sources) >= maxSources {
			l.forget(now)
		}
		s = &bucket{sourceBurst, now}
		l.sources[from] = s
	}
	return s.take(now, sourceRate, sourceBurst) && l.total.take(now, totalRate, totalBurst)
}

// forget drops sources that have been quiet, or else any one.
func (l *limiter) forget(now time.Time) {
	for a, b := range l.sources {
		if now.Sub(b.at) > sourceBurst/sourceRate*time.Second {
			delete(l.sources, a)
		}
	}
	for a := range l.sources {
		if len(l.sources) < maxSources {
			return
		}
		delete(l.sources, a)
	}
}
