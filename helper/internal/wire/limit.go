package wire

import (
	"sync"
	"time"
)

// bucket is a token bucket. The zero one with a rate is full.
type bucket struct {
	rate  float64 // tokens a second
	burst float64
	used  float64
	at    time.Time
}

// allow takes a token if there is one.
func (b *bucket) allow(now time.Time) bool {
	if !b.room(1, now) {
		return false
	}
	b.used++
	return true
}

// room tells whether there are so many tokens.
func (b *bucket) room(n int, now time.Time) bool {
	if !b.at.IsZero() {
		b.used = max(0, b.used-b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	return b.used+float64(n) <= b.burst
}

// controlDebt is how many bytes of control pass when a bucket of bytes is empty:
// paths are judged by them.
const controlDebt = 64 << 10

// spend takes bytes if there are so many.
func (b *bucket) spend(n int, control bool, now time.Time) bool {
	need := n
	if control {
		need -= controlDebt
	}
	if !b.room(need, now) {
		return false
	}
	b.used += float64(n)
	return true
}

// limiter is a bucket for use from several goroutines.
type limiter struct {
	mu sync.Mutex
	b  bucket
}

func (l *limiter) allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.allow(now)
}
