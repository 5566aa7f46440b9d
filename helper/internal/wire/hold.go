package wire

import (
	"encoding/binary"
	"time"
)

const (
	initiationSize = 148 // of WireGuard's first message (its white paper, §5.4.2)
	initiationType = 1

	heldFor = 5 * time.Second // then wireguard-go makes another
)

// resendAfter is when an initiation that nobody has answered is sent again:
// wireguard-go would wait for five seconds. Its recipient drops a second copy.
var resendAfter = [...]time.Duration{300 * time.Millisecond, 600 * time.Millisecond, 1200 * time.Millisecond}

// held is the last handshake initiation to a peer. It waits until the peer can
// use it, and is kept until it is answered or too old.
type held struct {
	packet   []byte
	at       time.Time
	sent     int // times
	sentAt   time.Time
	received uint64 // batches from the peer when it was first sent
}

func isInitiation(bufs [][]byte) bool {
	return len(bufs) == 1 && len(bufs[0]) == initiationSize && binary.LittleEndian.Uint32(bufs[0]) == initiationType
}

// hold takes an initiation that wireguard-go sends.
func (w *Wire) hold(p *peer, packet []byte) {
	now := time.Now()
	var out outbox
	w.mu.Lock()
	if !p.cut.Load() && !w.closed {
		c := p.contact()
		c.held = &held{packet: append([]byte(nil), packet...), at: now}
		c.active = now
		p.releaseHeld(now, &out)
		w.soon(p, now)
	}
	w.mu.Unlock()
	w.transmit(&out)
}

// releaseHeld sends a waiting initiation if the peer can use it now.
func (p *peer) releaseHeld(now time.Time, out *outbox) {
	if h := p.c.held; h != nil && h.sent == 0 && now.Sub(h.at) < heldFor && p.reachable() {
		p.sendHeld(now, out)
	}
}

// reachable tells whether a handshake would be understood.
func (p *peer) reachable() bool {
	b := p.c.paths.best
	return b != nil && p.c.word&flagHave != 0
}

func (p *peer) sendHeld(now time.Time, out *outbox) {
	r, h := p.route.Load(), p.c.held
	if r == nil {
		return
	}
	if h.sent == 0 {
		h.received = p.received()
	}
	h.sent++
	h.sentAt = now
	out.items = append(out.items, outgoing{p: p, raw: h.packet, to: r.addr, src: r.src})
	if r.addr2.IsValid() {
		out.items = append(out.items, outgoing{p: p, raw: h.packet, to: r.addr2, src: r.src2})
	}
	p.wire.soon(p, now)
}

// received counts what has come from the peer's addresses.
func (p *peer) received() (n uint64) {
	for _, q := range p.c.paths.all {
		n += q.count.n.Load()
	}
	return n
}

// pushHeld sends an unanswered initiation again and drops an old one.
func (p *peer) pushHeld(now time.Time, out *outbox, next *agenda) {
	h := p.c.held
	if h == nil {
		return
	}
	if now.Sub(h.at) >= heldFor || h.sent > 0 && p.received() != h.received {
		p.c.held = nil
		return
	}
	if h.sent > 0 && h.sent <= len(resendAfter) && p.reachable() {
		at := h.sentAt.Add(resendAfter[h.sent-1])
		if !now.Before(at) {
			p.sendHeld(now, out)
			at = now.Add(resendAfter[min(h.sent, len(resendAfter))-1])
		}
		next.at(at)
	}
	next.at(h.at.Add(heldFor))
}
