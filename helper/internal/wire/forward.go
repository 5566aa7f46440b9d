package wire

import (
	"encoding/binary"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
	"kith.internal/helper/internal/wire/udp"
)

// Forwarding says what we pass on for others.
type Forwarding struct {
	On    bool
	Quota int64 // bytes a day; 0: no end
	Rate  int64 // bytes a second, which senders share; 0: no end
}

const day = 24 * time.Hour

// forwarder passes frames on within a quota.
type forwarder struct {
	set   Forwarding
	all   bucket // of bytes
	fair  fair
	since time.Time
	bytes int64 // since then
}

// SetForwarding sets what we pass on for others: at first, nothing.
func (w *Wire) SetForwarding(f Forwarding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forwarder.set = f
	w.forwarder.all.rate, w.forwarder.all.burst = float64(f.Quota)/day.Seconds(), float64(f.Quota)
	w.forwarder.fair.rate = float64(f.Rate)
}

// allow takes bytes off the quota, and off the sender's share of it.
func (f *forwarder) allow(share *bucket, n int, now time.Time) bool {
	if f.set.Quota > 0 {
		share.rate, share.burst = f.all.rate, f.all.burst/2
		if !share.room(n, now) || !f.all.room(n, now) {
			return false
		}
		share.used += float64(n)
		f.all.used += float64(n)
	}
	if now.Sub(f.since) >= day {
		f.since, f.bytes = now, 0
	}
	f.bytes += int64(n)
	return true
}

// What passes for one holder of a link, both ways: a roster of thousands of members
// and what goes with it.
const (
	joinBurst = 64 << 20  // bytes
	joinRate  = 512 << 10 // bytes a second
)

// joins takes bytes off what may pass for the peer where it holds a link.
func (p *peer) joins(n int, now time.Time) bool {
	if p.c == nil || p.c.base == nil {
		return true
	}
	b := &p.c.frames().joining
	b.rate, b.burst = joinRate, joinBurst
	return b.spend(n, false, now)
}

// shares tells whether what goes from p to q is within the share of who has it
// passed on: the guest where there is one, or else the sender.
func (p *peer) shares(q *peer, f *frame, now time.Time) bool {
	who, weight, control := p, float64(fairMember), classify(f.data) == looksControl
	if p.limited() != nil {
		weight = fairGuest
	}
	for _, g := range []*peer{p, q} {
		if !g.guest {
			continue
		}
		who, weight = g, fairGuest
		b := &g.c.frames().visiting
		b.rate, b.burst = guestRate, guestBurst
		if !b.spend(len(f.data), control, now) {
			return false
		}
	}
	return p.wire.forwarder.fair.allow(&who.c.frames().sender, weight, len(f.data), control, now)
}

// passing is what there is to know about a peer whose frames we take.
type passing struct {
	window   window
	parts    reassembly
	share    bucket // bytes
	joining  bucket // bytes, of a link's holder
	visiting bucket // bytes, of a guest
	sender   sender
	refusals bucket // told it
}

func (c *contact) frames() *passing {
	if c.passing == nil {
		c.passing = &passing{refusals: bucket{rate: 5, burst: 10}}
	}
	return c.passing
}

// node names the peer in frames.
func (p *peer) node() tag {
	if p.c != nil && p.c.base != nil {
		return nodeOf(p.c.boot)
	}
	return p.tag
}

// nodeOf names a holder of a shared key.
func nodeOf(b boot) (n tag) {
	binary.BigEndian.PutUint64(n[:], uint64(b))
	return n
}

func (w *Wire) isSelf(n tag) bool { return n == w.tag || n == nodeOf(w.boot) }

// atNode finds the peer that a node names.
func (w *Wire) atNode(n tag) *peer {
	d := w.dir.Load()
	if p := d.byTag[n]; p != nil {
		if p.shared {
			return nil // it is many
		}
		return p
	}
	b := boot(binary.BigEndian.Uint64(n[:]))
	for _, p := range d.shared {
		if q := p.instance(b); q != nil {
			return q
		}
	}
	return nil
}

// takeFrame takes a frame that the peer has sealed: it is for us, or goes on.
func (p *peer) takeFrame(h header, body []byte, a arrival, out *outbox) {
	w, c := p.wire, p.c
	c.lastHeard = a.now
	path := c.paths.at(a.from)
	if path != nil {
		path.hear(a.now)
	} else {
		p.challenge(a, out) // it may have moved
	}
	if a.from.isChain() {
		w.drops.frames.Add(1) // a frame in a frame
		return
	}
	counted := h.kind == kindPiece
	if counted {
		path.countFrame()
		part, err := parsePiece(body)
		if err != nil {
			w.drops.malformed.Add(1)
			return
		}
		t := a.transit
		if t.whole = c.frames().parts.add(t.whole[:0], part, a.now); len(t.whole) == 0 {
			return
		}
		body = t.whole
	}
	f := &a.transit.frame
	var err error
	if *f, err = parseFrame(body); err != nil || f.pos == 0 || len(f.data) == 0 {
		w.drops.malformed.Add(1)
		return
	}
	if !counted && isTraffic(h.kind, f.data) {
		path.countFrame()
		if !p.watched.Load() {
			p.watch()
		}
	}
	if f.pos == 1 {
		f.nodes[0] = p.node() // whatever it says
	}
	last := f.pos == f.count-1
	switch {
	case f.nodes[f.pos-1] != p.node() || f.loops() || f.pos > 1 && p.limited() != nil,
		!last && f.nodes[f.pos] != w.tag, last && !w.isSelf(f.nodes[f.pos]):
		w.drops.frames.Add(1)
	case last:
		a.transit.inner = f.data
	default:
		p.passOn(f, a, out)
	}
}

// countFrame counts a frame that is traffic; what comes from elsewhere is on no
// path.
func (p *path) countFrame() {
	if p != nil {
		p.owner.frames.n.Add(1)
	}
}

// passOn finds out where a frame goes next; it is sealed once Wire.mu is free.
func (p *peer) passOn(f *frame, a arrival, out *outbox) {
	w, c := p.wire, p.c
	q := w.atNode(f.nodes[f.pos+1])
	switch {
	case !w.forwarder.set.On:
		p.unreachable(f, a, out)
		return
	case q == nil || !p.mayReach(f) || !q.mayBeReached(f):
		w.drops.frames.Add(1)
		p.unreachable(f, a, out)
		return
	}
	r := q.near.Load()
	if r == nil || r.boot == 0 || q.cut.Load() {
		p.unreachable(f, a, out)
		return
	}
	if n := len(f.data); !p.joins(n, a.now) || !q.joins(n, a.now) || !w.forwarder.allow(&c.frames().share, n, a.now) {
		w.drops.quota.Add(1)
		p.unreachable(f, a, out)
		return
	}
	if !p.shares(q, f, a.now) {
		w.drops.share.Add(1) // a loss like that of a full queue: the path is not to be given up
		return
	}
	f.pos++
	a.transit.next, a.transit.route = q, r
}

// limited is whose bounds hold for the peer's frames: the shared key's that it
// holds, or its own, a guest's or a removed device's; nil for a member.
func (p *peer) limited() *peer {
	switch {
	case p.c != nil && p.c.base != nil:
		return p.c.base
	case p.guest, p.removed:
		return p
	}
	return nil
}

// mayReach tells whether the frame's destination is one that its sender may
// reach through us: a holder of an invite reaches its sponsor alone, a guest
// what is shared with it, a removed device nobody.
func (p *peer) mayReach(f *frame) bool {
	l := p.limited()
	return l == nil || l.mayMeet(f.nodes[f.count-1])
}

// mayBeReached is the same for the way back.
func (p *peer) mayBeReached(f *frame) bool {
	l := p.limited()
	return l == nil || f.pos+1 == f.count-1 && l.mayMeet(f.nodes[0])
}

// mayMeet tells whether the peer, or the holders of its shared key, and the node
// may talk through us.
func (p *peer) mayMeet(n tag) bool {
	byID := p.wire.dir.Load().byID
	return slices.ContainsFunc(p.only, func(id key.Public) bool {
		q := byID[id]
		return q != nil && q.tag == n
	})
}

// unreachable tells the node before us that a frame could not go on.
func (p *peer) unreachable(f *frame, a arrival, out *outbox) {
	if !p.c.frames().refusals.allow(a.now) || !p.wire.limits.answers.allow(a.now) {
		return
	}
	back := frame{pos: f.pos - 1, count: f.count, nodes: f.nodes}
	out.add(p, kindUnreachable, p.c.boot, back.appendHead(nil), a.from, a.src)
}

// takeUnreachable takes the news that a frame of ours, or one that we have
// passed on, could not go on.
func (p *peer) takeUnreachable(body []byte, a arrival, out *outbox) {
	w := p.wire
	f, err := parseFrame(body)
	if err != nil || len(f.data) != 0 || f.pos+1 >= f.count || f.nodes[f.pos+1] != p.node() {
		w.drops.malformed.Add(1)
		return
	}
	if f.pos > 0 {
		if q := w.atNode(f.nodes[f.pos-1]); f.nodes[f.pos] == w.tag && q != nil {
			if r := q.near.Load(); r != nil && r.boot != 0 && q.c.frames().refusals.allow(a.now) {
				back := frame{pos: f.pos - 1, count: f.count, nodes: f.nodes}
				out.add(q, kindUnreachable, q.c.boot, back.appendHead(nil), r.to, r.src)
			}
		}
		return
	}
	q := w.atNode(f.nodes[f.count-1])
	if q == nil || q.c == nil {
		return
	}
	gone := q.c.paths.at(place{chain: f.forth()})
	if gone == nil {
		return
	}
	q.dropPath(gone)
	q.settle(a.now, out)
	if q.c.seeking(a.now) || q.c.isActive(a.now) {
		q.again(a.now)
	}
}

// arrive takes a datagram that has come in a frame; it returns what is for
// wireguard-go.
func (w *Wire) arrive(b []byte, from place, t *transit) (inner []byte, at place) {
	switch classify(b) {
	case looksWireGuard:
		return b, from
	case looksControl:
		return w.receive(b, from, udp.Source{}, t)
	}
	w.drops.stun.Add(1)
	return nil, place{}
}
