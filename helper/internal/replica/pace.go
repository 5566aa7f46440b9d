package replica

import "time"

// What one neighbour may send: enough for a whole roster at once, then slowly.
const (
	linkBurst = 16 << 20  // bytes
	linkRate  = 512 << 10 // bytes a second
)

// noteCost is what a note counts for beside its bytes, as it has the engine check
// signatures and write: some 2,000 at once, then 64 a second.
const noteCost = 8 << 10

// What one device may say of itself anew, whoever passes it on.
const (
	wordBurst = 20
	wordRate  = 0.5 // a second
)

// What all neighbours together may have asked on: a question that is asked once
// goes to every link of a network.
const (
	askBurst = 100
	askRate  = 5 // a second
)

// pace is a token bucket.
type pace struct {
	burst, rate float64
	left        float64
	at          time.Time
}

func newPace(burst, rate float64) pace { return pace{burst: burst, rate: rate, left: burst} }

// take spends cost and tells how long to wait until it is earned.
func (p *pace) take(cost float64, now time.Time) time.Duration {
	if !p.at.IsZero() {
		p.left = min(p.burst, p.left+max(0, now.Sub(p.at).Seconds())*p.rate)
	}
	p.at = now
	p.left -= cost
	if p.left >= 0 {
		return 0
	}
	return time.Duration(-p.left / p.rate * float64(time.Second))
}

// allow spends one if there is one.
func (p *pace) allow(now time.Time) bool {
	if p.take(1, now) > 0 {
		p.left++
		return false
	}
	return true
}

// cost is a message's size in bytes, roughly, and its handling.
func cost(m message) float64 {
	n := 1 << 10
	for _, list := range [][][]byte{m.Buckets, m.Records, m.Presence, m.Who, m.Notes} {
		for _, b := range list {
			n += len(b) + 32
		}
	}
	n += len(m.Notes) * noteCost
	for _, b := range m.IDs {
		n += len(b.IDs) + 32
	}
	if len(m.IDs)+len(m.Buckets) > 0 {
		n += 64 << 10 // the whole roster is gone through
	}
	return float64(n)
}
