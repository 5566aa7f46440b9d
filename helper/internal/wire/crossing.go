package wire

import (
	"bytes"
	"sync/atomic"
	"time"
)

// Crossing handshakes. wireguard-go forgets its own initiation when it answers
// another: where both ends begin in one instant, neither answer would be
// understood, and both would wait for five seconds. So the one with the greater
// tag drops the other's initiation while its own may not have been answered yet;
// and where wireguard-go sends one of its own before its answer to the other's,
// which is void or not needed then, it is kept back.
const (
	crossingSlack = 150 * time.Millisecond // beyond a round trip
	yieldFor      = 200 * time.Millisecond // longer than that, so that ours gets through then
	// How long wireguard-go may take to answer, or to send what it has made.
	answersIn = 250 * time.Millisecond
)

// crossing is what there is to know of initiations under way, in nanoseconds of
// the wire's life. It is used on the packet path, without a lock.
type crossing struct {
	until atomic.Int64 // the peer's are dropped
	taken atomic.Int64 // when wireguard-go was last given one of the peer's; 0: never
}

// takes tells whether wireguard-go is to have an initiation of the peer's, and
// notes it.
func (p *peer) takes() bool {
	now := int64(time.Since(p.wire.born))
	if now < p.crossing.until.Load() && bytes.Compare(p.wire.tag[:], p.tag[:]) > 0 {
		return false
	}
	p.crossing.taken.Store(now)
	return true
}

// begins notes that an initiation of ours goes out.
func (p *peer) begins(now time.Time) {
	lasts := crossingSlack
	if best := p.c.paths.best; best != nil {
		lasts += best.rtt
	}
	p.crossing.until.Store(int64(now.Add(lasts).Sub(p.wire.born)))
}

// ends notes that ours has been answered.
func (p *peer) ends() { p.crossing.until.Store(0) }

// yields tells until when an initiation that wireguard-go has just made is to wait
// for the answer to the peer's, which makes it void; the zero time: it is not to.
func (p *peer) yields(now time.Time) time.Time {
	ns := p.crossing.taken.Load()
	taken := p.wire.born.Add(time.Duration(ns))
	if ns == 0 || now.Sub(taken) >= answersIn || !p.c.answered.Before(taken) {
		return time.Time{}
	}
	return now.Add(yieldFor)
}
