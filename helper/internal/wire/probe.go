package wire

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp"
)

const (
	activeFor     = 45 * time.Second // after the last traffic
	watchEvery    = 100 * time.Millisecond
	watchFor      = time.Second // after the last packet sent
	silence       = 200 * time.Millisecond
	hush          = 400 * time.Millisecond
	suspectEvery  = 500 * time.Millisecond
	activeEvery   = 3 * time.Second
	doubtEvery    = 300 * time.Millisecond
	holdEvery     = 250 * time.Millisecond // while an initiation waits
	keepNAT       = 25 * time.Second
	sessionQuiet  = 21 * time.Second // more than a session's keep-alive takes
	allEvery      = time.Minute      // all candidates, while active
	activeBackoff = 2 * time.Second
	chainBackoff  = 10 * time.Second // while active without a path of our own
	streakEvery   = time.Second      // a path that has begun to be better
	seekFor       = 2 * time.Minute
)

// backoff is how long to wait after each round of probing.
var backoff = [...]time.Duration{
	100 * time.Millisecond, 200 * time.Millisecond, 700 * time.Millisecond, time.Second, 3 * time.Second,
	5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
}

// jittered spreads what many devices would do at once.
func jittered(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// seeking tells whether we want a path, traffic or not.
func (c *contact) seeking(now time.Time) bool {
	return c.want || now.Before(c.hopTill) || c.relaying.sought(now) || len(c.dialing) > 0 || len(c.sessions) > 0 || now.Before(c.soughtTill)
}

func (c *contact) isActive(now time.Time) bool {
	return !c.active.IsZero() && now.Sub(c.active) < activeFor
}

// works notes a session's packet of some size: many of them are activity, the
// odd announcement is not.
func (c *contact) works(now time.Time) {
	if !c.gossip.allow(now) {
		c.active = now
	}
}

// spoke notes that packets have gone out that will have an answer, if all is
// well.
func (c *contact) spoke(now time.Time) {
	if b := c.paths.best; b == nil || !c.spoken.After(b.heard) {
		c.talking = now
	}
	c.lastSent, c.spoken = now, now
}

// step looks at what has happened to the peer's paths, probes what is due and
// returns when it wants the next step: zero for never.
func (p *peer) step(now time.Time, out *outbox) time.Time {
	c := p.c
	if c == nil || p.cut.Load() {
		return time.Time{}
	}
	next := agenda{now: now}
	p.sample(now, &next)
	p.judge(now, out, &next)
	p.pushHeld(now, out, &next)
	if active := c.isActive(now); active != c.wasActive {
		c.wasActive = active
		if active { // whatever may be needed shall be at hand
			c.round, c.nextRound = min(c.round, len(backoff)-2), now
		}
	}
	p.endMeeting()
	if !c.seeking(now) && !c.isActive(now) {
		c.round, c.nextRound = 0, time.Time{}
		return next.when
	}
	p.keepAlive(now, out, &next)
	p.tendBirthday(now, out, &next)
	p.probeSize(now, out, &next)
	p.probeRound(now, out, &next)
	return next.when
}

// agenda collects the earliest of several times.
type agenda struct{ now, when time.Time }

func (a *agenda) at(t time.Time) {
	if floor := a.now.Add(time.Millisecond); t.Before(floor) {
		t = floor
	}
	if a.when.IsZero() || t.Before(a.when) {
		a.when = t
	}
}

// sample reads the packet path's counters.
func (p *peer) sample(now time.Time, next *agenda) {
	c := p.c
	for _, q := range c.paths.all {
		if n := q.owner.came(); n != q.countSeen {
			q.countSeen = n
			q.hear(now)
			c.paths.arrived(q, now)
			c.active = now
		}
	}
	if n := p.sent.n.Load(); n != c.sentSeen {
		c.sentSeen = n
		c.spoke(now)
		c.active = now
	}
	if !p.watched.Load() {
		return
	}
	// Frames that come in have the peer watched too: who only listened would be
	// woken by each.
	if now.Sub(c.lastSent) < watchFor || now.Sub(c.active) < watchFor {
		next.at(now.Add(watchEvery))
		return
	}
	p.watched.Store(false)
	if p.sent.n.Load() != c.sentSeen && p.watched.CompareAndSwap(false, true) {
		next.at(now.Add(watchEvery))
	}
}

// judge doubts and drops paths, and chooses among them.
func (p *peer) judge(now time.Time, out *outbox, next *agenda) {
	c := p.c
	doubt := false
	if p.failed.Swap(false) && now.Sub(c.failedAt) >= time.Second {
		c.failedAt = now
		if b := c.paths.best; b != nil && b.health == sound {
			b.doubt(now)
			doubt = true
		}
	}
	for _, q := range append([]*path(nil), c.paths.all...) {
		if q.age(now) && q == c.paths.best {
			doubt = true
		}
		alone := len(c.paths.all) == 1
		if q.dead(now, alone) || now.Sub(q.ponged) >= pathForgotten && q != c.paths.best {
			p.dropPath(q)
			doubt = true
			continue
		}
		if !q.unheard.IsZero() && q.health == sound {
			next.at(q.unheard.Add(q.patience()))
		}
	}
	if doubt {
		c.round, c.nextRound = 0, now
	}
	p.settle(now, out)
}

// settle chooses the best path and tells whoever it concerns.
func (p *peer) settle(now time.Time, out *outbox) {
	c := p.c
	before := c.paths.best
	c.paths.choose(now)
	best := c.paths.best
	if best != before {
		c.since = now
		for _, q := range c.paths.all {
			q.streak, q.truth = 0, truth{}
		}
	}
	p.publish(now)
	told := p.path(now)
	if told.Kind != c.notified.Kind || told.Addr != c.notified.Addr || told.Transport != c.notified.Transport || told.MTU != c.notified.MTU || told.Silent != c.notified.Silent || !slices.Equal(told.Via, c.notified.Via) {
		c.notified = told
		p.wire.events.add(func(h Handler) { h.PathChanged(p.id, told) })
	}
	if best != nil && c.boot != 0 && c.ready != nil {
		close(c.ready)
		c.ready = nil
	}
	p.releaseHeld(now, out)
}

// publish tells the packet path where to send to.
func (p *peer) publish(now time.Time) {
	ps := &p.c.paths
	before := p.near.Load()
	if p.cut.Load() {
		p.route.Store(nil)
		p.near.Store(nil)
		p.nearChanged(before != nil, now)
		return
	}
	store(&p.near, p.routeOn(ps.near, ps.secondNear(now)))
	store(&p.route, p.routeOn(ps.best, ps.second(now)))
	p.nearChanged(before != nil, now)
}

// nearChanged tells whom it concerns that the peer has a path without hops, or
// none.
func (p *peer) nearChanged(had bool, now time.Time) {
	w := p.wire
	if p.relay != nil {
		w.relaysSoon(now)
	}
	has := p.near.Load() != nil
	if has == had {
		return
	}
	if p.c.base == nil {
		w.neighbours.change(w, has, now)
	}
	if has {
		p.hopFound(now)
	} else {
		p.hopLost(now)
	}
}

// routeOn is how to send on one path or on two; nil without a path.
func (p *peer) routeOn(best, second *path) *route {
	if best == nil {
		return nil
	}
	r := &route{to: best.place, src: best.src, boot: p.c.boot, mtu: best.carries()}
	r.plain = second == nil && best.isUDP() && best.via == nil
	if second != nil {
		r.to2, r.src2, r.both = second.place, second.src, true
		r.mtu = min(r.mtu, second.carries())
	}
	return r
}

func store(at *atomic.Pointer[route], r *route) {
	if old := at.Load(); old == nil || r == nil || *old != *r {
		at.Store(r)
	}
}

// dropPath forgets a path; its address stays a candidate.
func (p *peer) dropPath(q *path) {
	p.c.paths.remove(q)
	p.wire.disown(q.place, p)
}

// keepAlive pings the paths as their use demands.
func (p *peer) keepAlive(now time.Time, out *outbox, next *agenda) {
	c := p.c
	best := c.paths.best
	if best == nil {
		return
	}
	for _, q := range c.paths.all {
		switch {
		case q.health == doubted:
			p.pingEvery(q, doubtEvery, now, out, next)
		case q.owes(now) && c.isActive(now):
			// Frames come and answers do not: it is lossy, or dead one way.
			p.pingEvery(q, suspectEvery, now, out, next)
		case q.streak > 0 && q != best:
			p.pingEvery(q, streakEvery, now, out, next)
		}
	}
	if best.health == doubted {
		return
	}
	switch unheard := now.Sub(best.heard); {
	case c.held != nil && c.word&flagHave == 0:
		p.pingEvery(best, holdEvery, now, out, next)
	case c.spoken.After(best.heard) && now.Sub(c.talking) >= best.expects():
		// We talk and hear nothing: it may be the path's fault. The others are
		// asked too, to be fresh if they are needed.
		for _, q := range c.paths.all {
			p.pingEvery(q, suspectEvery, now, out, next)
		}
	case p.watched.Load() && c.active.After(best.pinged) && unheard >= hush:
		// A talk has gone quiet. If it is because our address has changed, this
		// tells the peer the new one.
		p.ping(best.place, best.src, now, out)
		next.at(now.Add(best.patience()))
	case c.isActive(now):
		p.pingEvery(best, activeEvery, now, out, next)
	case len(c.sessions) > 0 && unheard >= sessionQuiet:
		p.pingEvery(best, suspectEvery, now, out, next)
	case best.kind != LAN || c.relaying.sought(now):
		last := best.pinged
		if c.lastSent.After(last) {
			last = c.lastSent
		}
		if now.Sub(last) >= keepNAT {
			p.ping(best.place, best.src, now, out)
			last = now
			next.at(now.Add(best.patience()))
		}
		next.at(last.Add(keepNAT))
	}
	if at := best.heard.Add(sessionQuiet); len(c.sessions) > 0 && now.Before(at) {
		next.at(at) // a session's keep-alives are answered, or the peer is gone
	}
}

func (p *peer) pingEvery(q *path, every time.Duration, now time.Time, out *outbox, next *agenda) {
	if now.Sub(q.pinged) >= every {
		p.ping(q.place, q.src, now, out)
		next.at(now.Add(q.patience()))
	}
	next.at(q.pinged.Add(every))
}

// probeRound pings all candidates at once, ever less often.
func (p *peer) probeRound(now time.Time, out *outbox, next *agenda) {
	c := p.c
	if now.Before(c.nextRound) {
		next.at(c.nextRound)
		return
	}
	best := c.paths.best
	lost := best == nil || best.health == doubted
	active := c.isActive(now)
	if lost || active || best.isChain() {
		p.seekHops(now)
	}
	l := p.wire.local.Load()
	for _, to := range p.targets(l) {
		if !lost && !active && to.class(p.wire.kindOf(l, to)) <= best.place.class(best.kind) {
			continue // an idle peer needs no better latency
		}
		p.ping(to, udp.Source{}, now, out)
		if lost && to.via == nil && to.isUDP() {
			// The way out that the system prefers may be dead, and its route still
			// stand. What answers is answered there.
			for _, src := range l.sources(to.addr.Addr()) {
				p.ping(to, src, now, out)
			}
		}
	}
	wait := backoff[min(c.round, len(backoff)-1)]
	switch {
	case lost && active:
		wait = min(wait, activeBackoff)
	case !lost && best.kind == LAN:
		wait = max(wait, allEvery)
	case !lost && active && best.isChain():
		wait = min(wait, chainBackoff)
	}
	c.round++
	c.nextRound = now.Add(jittered(wait))
	next.at(c.nextRound)
}

// Probe pings the paths to a peer at once, or looks for one.
func (w *Wire) Probe(id key.Public) {
	var out outbox
	w.mu.Lock()
	if p := w.dir.Load().byID[id]; p != nil && !w.closed {
		now := time.Now()
		c := p.contact()
		for _, q := range c.paths.all {
			p.ping(q.place, q.src, now, &out)
		}
		if c.paths.best == nil {
			c.soughtTill = now.Add(seekFor)
			p.again(now)
		}
		p.wire.soon(p, now)
	}
	w.mu.Unlock()
	w.transmit(&out)
}

// again restarts the probing.
func (p *peer) again(now time.Time) {
	c := p.contact()
	c.round, c.nextRound = 0, now
	p.wire.soon(p, now)
}

// ping sends a ping, and notes that its answer is due.
func (p *peer) ping(to place, src udp.Source, now time.Time, out *outbox) {
	txid := rand.Uint64()
	p.c.notePing(outstanding{txid: txid, to: to, at: now, sent: p.sentOn(to)})
	if q := p.c.paths.at(to); q != nil {
		q.ping(now)
	}
	out.add(p, kindPing, p.c.boot, appendTxid(nil, txid), to, src)
}
