package relay

import (
	"net/netip"
	"time"
)

// maxSources is how many sources are told apart at once.
const maxSources = 4096

// bucket is a token bucket.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if b.at.IsZero() {
		b.tokens = burst
	} else {
		b.tokens = min(burst, b.tokens+now.Sub(b.at).Seconds()*rate)
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// source is what one may be held to account as: an IPv4 address, or the /64 that
// one IPv6 host has to itself.
func source(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64)
		return p.Addr()
	}
	return a
}

// forget makes room among the sources, a quarter: those that are quiet go, or
// else any that need not be kept.
func forget[T any](sources map[netip.Addr]*T, quiet, keep func(*T) bool) {
	for a, s := range sources {
		if quiet(s) {
			delete(sources, a)
		}
	}
	for a, s := range sources {
		if len(sources) <= maxSources*3/4 {
			return
		}
		if keep == nil || !keep(s) {
			delete(sources, a)
		}
	}
}
