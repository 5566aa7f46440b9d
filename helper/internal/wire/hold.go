package wire

import "time"

// WireGuard's handshake messages (its white paper, §5.4.2 and §5.4.3).
const (
	initiationType = 1
	initiationSize = 148
	responseType   = 2
	responseSize   = 92

	heldFor = 5 * time.Second // then wireguard-go begins another handshake
)

// resendAfter is when a message that nobody has answered is sent again:
// wireguard-go would wait for five seconds. Its recipient drops a second copy.
var resendAfter = [...]time.Duration{300 * time.Millisecond, 600 * time.Millisecond, 1200 * time.Millisecond}

// held is the last handshake message to a peer. An initiation waits until the
// peer can use it; both kinds are kept until they are answered or too old.
type held struct {
	packet   []byte
	at       time.Time
	waits    time.Time // it is not sent before; zero: at once
	sent     int       // times
	sentAt   time.Time
	received uint64 // batches from the peer when it was first sent
}

// handshake tells the type of a handshake message, 0 for all else.
func handshake(bufs [][]byte) byte {
	if len(bufs) != 1 {
		return 0
	}
	switch b := bufs[0]; {
	case len(b) == initiationSize && b[0] == initiationType:
		return initiationType
	case len(b) == responseSize && b[0] == responseType:
		return responseType
	}
	return 0
}

// hold takes a handshake message that wireguard-go sends: a response goes out
// at once, an initiation when the peer can use it.
func (w *Wire) hold(p *peer, kind byte, packet []byte) {
	now := time.Now()
	var out outbox
	w.mu.Lock()
	if !p.cut.Load() && !w.closed {
		c := p.contact()
		h := &held{packet: append([]byte(nil), packet...), at: now}
		c.active = now
		if kind == responseType {
			c.response, c.answered = h, now
			c.held = nil // void by now
			p.sendHeld(h, now, &out)
		} else {
			c.held, h.waits = h, p.yields(now)
			p.releaseHeld(now, &out)
		}
		w.soon(p, now)
	}
	w.mu.Unlock()
	w.transmit(&out)
}

// releaseHeld sends a waiting initiation if the peer can use it now.
func (p *peer) releaseHeld(now time.Time, out *outbox) {
	if h := p.c.held; h != nil && h.sent == 0 && now.Sub(h.at) < heldFor && !now.Before(h.waits) && p.reachable() {
		p.sendHeld(h, now, out)
		p.wire.soon(p, now)
	}
}

// reachable tells whether an initiation would be understood.
func (p *peer) reachable() bool {
	return p.c.paths.best != nil && p.c.word&flagHave != 0
}

func (p *peer) sendHeld(h *held, now time.Time, out *outbox) {
	r := p.route.Load()
	if r == nil {
		return
	}
	if h.sent == 0 {
		h.received = p.received()
	}
	h.sent++
	h.sentAt = now
	if h.packet[0] == initiationType {
		p.begins(now)
	}
	out.items = append(out.items, outgoing{p: p, raw: h.packet, to: r.to, src: r.src})
	if r.both {
		out.items = append(out.items, outgoing{p: p, raw: h.packet, to: r.to2, src: r.src2})
	}
}

// received counts what has come from the peer's addresses, initiations left
// out: they answer nothing.
func (p *peer) received() (n uint64) {
	for _, q := range p.c.paths.all {
		n += q.owner.count.n.Load()
	}
	return n
}

// pushHeld sends what has waited, and unanswered messages again, and drops old
// ones.
func (p *peer) pushHeld(now time.Time, out *outbox, next *agenda) {
	p.releaseHeld(now, out)
	p.c.held = p.push(p.c.held, p.reachable(), now, out, next)
	p.c.response = p.push(p.c.response, true, now, out, next)
}

func (p *peer) push(h *held, useful bool, now time.Time, out *outbox, next *agenda) *held {
	if h == nil || now.Sub(h.at) >= heldFor || h.sent > 0 && p.received() != h.received {
		return nil
	}
	if useful && h.sent > 0 && h.sent <= len(resendAfter) {
		at := h.sentAt.Add(resendAfter[h.sent-1])
		if !now.Before(at) {
			p.sendHeld(h, now, out)
			at = now.Add(resendAfter[min(h.sent, len(resendAfter))-1])
		}
		next.at(at)
	}
	if h.sent == 0 && now.Before(h.waits) {
		next.at(h.waits)
	}
	next.at(h.at.Add(heldFor))
	return h
}
