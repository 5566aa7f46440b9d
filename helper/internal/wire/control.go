package wire

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"kith.internal/helper/internal/discover/stun"
	"kith.internal/helper/internal/wire/udp"
)

// outbox collects what to send once Wire.mu is free.
type outbox struct{ items []outgoing }

// reset empties the outbox, to be used again.
func (o *outbox) reset() {
	clear(o.items)
	o.items = o.items[:0]
}

// outgoing is a control datagram, or packets that are sent as they are.
type outgoing struct {
	p    *peer
	h    header
	body []byte
	raw  []byte
	size int // 0: the next bucket
	to   place
	src  udp.Source
}

// add queues a control datagram; to is what the peer's boot is taken to be.
func (o *outbox) add(p *peer, k kind, to boot, body []byte, at place, src udp.Source) {
	h := header{kind: k, from: p.wire.boot, to: to, flags: p.c.ownWord()}
	if p.c.boot != 0 && to != p.c.boot {
		h.flags &^= flagHave // what is configured is for the life that we know of
	}
	o.items = append(o.items, outgoing{p: p, h: h, body: body, to: at, src: src})
}

// ownWord is our control word to the peer.
func (c *contact) ownWord() (f flags) {
	if c.want {
		f |= flagWant
	}
	if c.configured {
		f |= flagHave
	}
	if !c.toldAny {
		f |= flagAsk
	}
	return f
}

// transmit sends what was collected. Candidates may well be out of reach, so
// the system's refusals are no news here.
func (w *Wire) transmit(o *outbox) {
	if len(o.items) == 0 {
		return
	}
	s := sheets.Get().(*sheet)
	defer sheets.Put(s)
	one := s.bufs[:]
	for i := range o.items {
		it := &o.items[i]
		if it.p != nil && it.p.cut.Load() {
			continue
		}
		if it.raw != nil {
			one[0] = it.raw
		} else if b, err := it.p.sealSized(s.buf[:0], it.h, it.body, it.size); err == nil {
			one[0] = b
		} else {
			continue
		}
		w.send(one, &it.to, it.src)
	}
	one[0] = nil
}

// sheet is what a datagram is written on.
type sheet struct {
	buf  [2 * maxDatagram]byte
	bufs [1][]byte
}

var sheets = sync.Pool{New: func() any { return new(sheet) }}

// sealDatagram appends one sealed datagram to b.
func (p *peer) sealDatagram(b []byte, h header, body []byte) ([]byte, error) {
	return p.sealSized(b, h, body, 0)
}

// sealSized pads the datagram to a size, 0: to the next bucket.
func (p *peer) sealSized(b []byte, h header, body []byte, size int) ([]byte, error) {
	s, err := p.sealer()
	if err != nil {
		return nil, err
	}
	h.counter = p.counter.Add(1)
	var inner [maxDatagram]byte
	plain := appendInner(inner[:0], h, body)
	if size == 0 {
		return s.seal(b, plain), nil
	}
	return s.sealPadded(b, plain, size-overhead), nil
}

func appendTxid(b []byte, txid uint64) []byte { return binary.BigEndian.AppendUint64(b, txid) }

// receive takes a datagram that is neither WireGuard's nor STUN's. It changes
// b.
// What it returns is a WireGuard packet that was inside, and where it is from.
func (w *Wire) receive(b []byte, from place, src udp.Source, t *transit) (inner []byte, at place) {
	now := time.Now()
	p, own, h, body, ok := w.open(b, from, now)
	if !ok {
		return nil, place{}
	}
	t.next, t.inner = nil, nil
	w.mu.Lock()
	if !p.cut.Load() && !w.closed {
		w.handle(p, h, body, arrival{from, src, now, t, own}, &t.out)
	}
	w.mu.Unlock()
	w.transmit(&t.out)
	t.out.reset()
	switch {
	case t.next != nil:
		t.add(w, t.next, t.route, &t.frame)
	case t.inner != nil:
		return w.arrive(t.inner, place{chain: t.frame.back()}, t)
	}
	return nil, place{}
}

// open opens a datagram that a peer has sealed, in place.
func (w *Wire) open(b []byte, from place, now time.Time) (p *peer, own *ownKey, h header, body []byte, ok bool) {
	if len(b) < minSealed || len(b) > ownBuffer {
		w.drops.malformed.Add(1)
		return nil, nil, h, nil, false
	}
	p, own = w.sealedBy(b)
	link, _ := from.via.(*wireLink)
	if p == nil || w.local.Load().forbids(from) || link != nil && link.id != p.id {
		w.drops.strangers.Add(1)
		return nil, nil, h, nil, false
	}
	if (*w.owners.Load())[from] == nil && !w.limits.unknown.allow(now) ||
		p.keys.Load().with(own) == nil && !w.limits.derive.allow(now) {
		w.drops.limited.Add(1)
		return nil, nil, h, nil, false
	}
	s, err := p.sealerWith(own)
	if err != nil {
		return nil, nil, h, nil, false
	}
	if b, err = s.open(b); err != nil {
		w.drops.forged.Add(1)
		return nil, nil, h, nil, false
	}
	if h, body, err = parseInner(b); err != nil {
		w.drops.malformed.Add(1)
		return nil, nil, h, nil, false
	}
	return p, own, h, body, true
}

// arrival is where and when a datagram came in, and what becomes of a frame.
type arrival struct {
	from    place
	src     udp.Source
	now     time.Time
	transit *transit
	own     *ownKey // with which it was sealed
}

// handle acts on a datagram that the peer has sealed, some time, for someone
// whose keys are ours. Only what names our boot is for us and of today; only
// an answer to our own question proves the sender's boot. All else changes
// nothing: it gets an answer at most, from which the sender learns our boot.
func (w *Wire) handle(p *peer, h header, body []byte, a arrival, out *outbox) {
	if q := p.instance(h.from); q != nil {
		p = q
	}
	if p.speaks.Load() != a.own {
		p.speaks.Store(a.own)
	}
	c := p.contact()
	switch {
	case h.to != w.boot:
		p.unproven(h, body, a, out)
	case h.kind == kindPong:
		p.handlePong(h, body, a, out)
	case h.from != c.boot:
		p.unproven(h, body, a, out)
	case h.kind == kindForward || h.kind == kindPiece:
		if !c.frames().window.take(h.counter) {
			w.drops.replayed.Add(1)
			return
		}
		p.takeFrame(h, body, a, out)
	case !c.window.take(h.counter):
		w.drops.replayed.Add(1)
	default:
		p.hears(h, a, out)
		p.handleProven(h, body, a, out)
	}
}

// unproven answers a datagram whose sender does not know our boot, or whose
// boot we do not know: a restart on either side, or a recorded datagram.
func (p *peer) unproven(h header, body []byte, a arrival, out *outbox) {
	w, c := p.wire, p.c
	if h.kind == kindPing && c.answers.allow(a.now) && w.limits.answers.allow(a.now) {
		p.pong(h, body, a, out)
	}
	if h.kind != kindPong {
		p.challenge(a, out)
	}
}

// challenge asks an address that has sent something whether the peer is there.
func (p *peer) challenge(a arrival, out *outbox) {
	if p.wire.usable(p.wire.local.Load(), a.from) && p.c.challenges.allow(a.now) && p.wire.limits.answers.allow(a.now) {
		p.ping(a.from, a.src, a.now, out)
	}
}

func (p *peer) pong(h header, body []byte, a arrival, out *outbox) {
	if txid, err := parsePing(body); err == nil {
		out.add(p, kindPong, h.from, binary.BigEndian.AppendUint32(appendAddr(appendTxid(nil, txid), a.from.addr), p.came(a.from)), a.from, a.src)
	}
}

// came counts what has come from the place.
func (p *peer) came(from place) uint32 {
	if o := (*p.wire.owners.Load())[from]; o != nil && o.p == p {
		return uint32(o.came())
	}
	return 0
}

// hears takes what every proven datagram says.
func (p *peer) hears(h header, a arrival, out *outbox) {
	c := p.c
	c.lastHeard = a.now
	if q := c.paths.at(a.from); q != nil {
		q.hear(a.now)
	}
	if h.counter < c.wordAt {
		return // overtaken by a newer word
	}
	old := c.word
	c.word, c.wordAt = h.flags, h.counter
	// Said again to whoever has dropped the session meanwhile: the peer's
	// initiation waits for our word.
	if h.flags&flagWant != 0 && (old&flagWant == 0 || !c.configured && a.now.Sub(c.wantTold) >= holdEvery/2) {
		c.wantTold = a.now
		p.wire.events.add(func(h Handler) { h.PeerWants(p.id) })
	}
	if h.flags&^old&flagHave != 0 {
		p.releaseHeld(a.now, out)
	}
	if h.flags&flagAsk != 0 && c.paths.best != nil && c.tells.allow(a.now) {
		p.tell(out)
	}
}

func (p *peer) handlePong(h header, body []byte, a arrival, out *outbox) {
	txid, seen, came, err := parsePong(body)
	if err != nil {
		p.wire.drops.malformed.Add(1)
		return
	}
	ping, ok := p.c.takePing(txid, a.from, a.now)
	if !ok {
		p.wire.drops.replayed.Add(1)
		return
	}
	if p.shared {
		if p = p.addInstance(h.from, a.now); p == nil {
			return
		}
	}
	c := p.c
	if h.from != c.boot {
		p.reborn(h.from, a.now)
	}
	if !c.window.take(h.counter) {
		return
	}
	p.hears(h, a, out)
	rtt := a.now.Sub(ping.at)
	p.confirm(a, ping, came, out)
	if a.from.via == nil && a.from.isUDP() && seen.IsValid() && !p.removed && p.wire.local.Load().kind(a.from.addr.Addr()) == Direct &&
		p.wire.see(stun.Answer{Server: a.from.addr, Mapped: seen, RTT: rtt}, p.id, a.now) {
		p.wire.reflect(out)
		p.wire.tellAll(out, a.now)
	}
}

// handleProven acts on a datagram of the peer's present life.
func (p *peer) handleProven(h header, body []byte, a arrival, out *outbox) {
	c := p.c
	if c.paths.at(a.from) == nil {
		p.challenge(a, out) // it may have moved
	}
	switch h.kind {
	case kindPing:
		p.pong(h, body, a, out)
		// The peer uses another address than we do: it may have moved.
		if b := c.paths.best; b != nil && b.place != a.from && a.now.Sub(b.heard) >= silence && a.now.Sub(b.pinged) >= suspectEvery {
			p.ping(b.place, b.src, a.now, out)
			p.wire.soon(p, a.now)
		}
	case kindWord:
	case kindCandidates:
		if addrs, err := parseTold(body); err == nil && !p.removed && c.toldLimit.allow(a.now) {
			p.learn(addrs, a, out)
		}
	case kindFragment:
		p.takeFragment(body, a.now)
	case kindMeet:
		if !p.removed {
			p.takeMeet(a)
		}
	case kindUnreachable:
		p.takeUnreachable(body, a, out)
	default: // a newer peer's: it is none of ours
	}
}

// reborn takes a boot ID that the peer has proved to be its present one.
func (p *peer) reborn(b boot, now time.Time) {
	c := p.c
	restarted := c.boot != 0
	c.boot, c.window = b, window{}
	c.word, c.wordAt = 0, 0
	c.frags = reassembly{}
	if f := c.passing; f != nil {
		f.window, f.parts = window{}, reassembly{}
	}
	if restarted {
		p.closeSessions(errRestarted)
		// The WireGuard peer of the former life must not take an initiation of
		// this one: it is about to be replaced, and what it agreed on with it.
		c.configured, c.held, c.response = false, nil, nil
		p.wire.events.add(func(h Handler) { h.PeerRestarted(p.id) })
		p.wire.log.Debug("peer restarted", "peer", p.id.Short())
	}
	c.told, c.toldAny = nil, false
}

// confirm takes an address at which the peer has just answered as a path.
func (p *peer) confirm(a arrival, ping outstanding, came uint32, out *outbox) {
	c, w := p.c, p.wire
	q := c.paths.at(a.from)
	first := q == nil
	if first {
		q = &path{place: a.from, kind: w.kindOf(w.local.Load(), a.from)}
		if gone := c.paths.add(q); gone != nil {
			w.disown(gone.place, p)
		}
		if a.from.via == nil && a.from.isUDP() {
			p.addGiven([]netip.AddrPort{a.from.addr})
		}
	}
	q.owner = w.own(a.from, p)
	q.pong(a.now, a.now.Sub(ping.at), a.src)
	q.carried(ping.size, a.now)
	if q == c.paths.best && q.truth.report(ping.sent, came) {
		p.demote(q, a.now)
	}
	q.lies = c.distrusts(q.place, a.now)
	c.paths.compare(q)
	p.settle(a.now, out)
	if first {
		p.tell(out)
	}
	w.soon(p, a.now)
}

// learn takes the addresses that the peer names as its own.
func (p *peer) learn(addrs []told, a arrival, out *outbox) {
	c, w := p.c, p.wire
	l := w.local.Load()
	before := p.targets(l)
	c.told, c.toldAny = nil, true
	for _, t := range addrs {
		if len(c.told) < maxTold && !t.addr.Addr().IsLoopback() {
			c.told = append(c.told, t)
		}
	}
	for _, to := range p.targets(l) {
		if !slices.Contains(before, to) {
			p.ping(to, udp.Source{}, a.now, out)
		}
	}
}
