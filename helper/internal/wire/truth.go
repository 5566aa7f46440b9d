package wire

import (
	"slices"
	"time"
)

// A ping notes how many packets went out before it, its pong tells how many
// have come in: a path, or who passes things on, may let pings through and
// nothing else.
const (
	truthFew       = 4  // packets of which none arrives are suspicious
	truthMany      = 20 // of these, if half are lost
	truthStrikes   = 2  // suspicions in a row
	distrustFor    = 10 * time.Minute
	maxDistrusted  = 16
	complaintLives = time.Hour
	maxComplaints  = 64
)

// truth compares what was sent on a path with what has arrived.
type truth struct {
	known   bool
	sent    uint64 // at the last report
	recv    uint32
	lostOf  uint64 // sent since the last judgement
	arrived uint64 // of these
	strikes int
}

// sentOn is how many packets have gone out that the place would have carried,
// were it that of the best path.
func (p *peer) sentOn(to place) uint64 {
	n := p.sent.n.Load()
	if to.isChain() {
		n -= min(n, p.framed.n.Load())
	}
	return n
}

// report takes a pong's count; it tells whether the path has lied.
func (t *truth) report(sent uint64, recv uint32) (lies bool) {
	known, sentBefore, came := t.known, t.sent, recv-t.recv
	if known && sent < sentBefore {
		return false // overtaken by another
	}
	t.known, t.sent, t.recv = true, sent, recv
	if !known || came > 1<<31 {
		return false // nothing to compare with
	}
	t.lostOf += sent - sentBefore
	t.arrived += uint64(came)
	switch {
	case t.lostOf >= truthMany && t.arrived*2 < t.lostOf, t.lostOf >= truthFew && t.arrived == 0:
		t.strikes++
	case t.arrived > 0:
		t.strikes = 0
	default:
		return false
	}
	t.lostOf, t.arrived = 0, 0
	return t.strikes >= truthStrikes
}

// distrust is a place that has lost what it should have carried.
type distrust struct {
	place place
	until time.Time
}

// distrusts tells whether the place is not to be used while there is another.
func (c *contact) distrusts(at place, now time.Time) bool {
	return slices.ContainsFunc(c.distrusted, func(d distrust) bool { return d.place == at && now.Before(d.until) })
}

// demote notes that the path lies. Callers settle.
func (p *peer) demote(q *path, now time.Time) {
	c := p.c
	q.truth = truth{}
	q.lies = true
	c.distrusted = slices.DeleteFunc(c.distrusted, func(d distrust) bool { return d.place == q.place || !now.Before(d.until) })
	if len(c.distrusted) >= maxDistrusted {
		c.distrusted = slices.Delete(c.distrusted, 0, 1)
	}
	c.distrusted = append(c.distrusted, distrust{q.place, now.Add(distrustFor)})
	p.wire.log.Info("a path loses packets and not pings", "peer", p.id.Short(), "kind", q.kind)
	if q.isChain() {
		way := p.wire.names(&q.chain)
		c := Complaint{ID: way[0], What: DropsPackets, Since: now}
		if len(way) > 1 {
			// Who of them it is cannot be told: one that passes what ends before it
			// may drop what goes further.
			c.What, c.Way = OneDrops, way
		}
		p.wire.complain(c)
	}
	q.mtu, q.sizeTries, q.sizeDue = 0, 0, now // or it has become narrower
}

// complain keeps a complaint for the report.
func (w *Wire) complain(c Complaint) {
	w.grievances = slices.DeleteFunc(w.grievances, func(o Complaint) bool { return o.ID == c.ID && o.What == c.What && slices.Equal(o.Way, c.Way) })
	if len(w.grievances) >= maxComplaints {
		w.grievances = slices.Delete(w.grievances, 0, 1)
	}
	w.grievances = append(w.grievances, c)
}
