package wire

import (
	"math/rand/v2"
	"time"
)

// sizes are those of the pings that find out what a path carries, of UDP
// payload: what 1,500 bytes leave over IPv4 and over IPv6, and less.
var sizes = [...]int{1472, 1452, 1444, 1416, 1372, 1312}

const (
	sizesFirst = 2 // tried first: mostly they pass
	sizeTries  = 3
	sizeAgain  = 500 * time.Millisecond
	sizeEvery  = 10 * time.Minute
)

// probeSize finds out what the best path without hops carries.
func (p *peer) probeSize(now time.Time, out *outbox, next *agenda) {
	q := p.c.paths.near
	if q == nil || !q.isUDP() || q.health == doubted {
		return
	}
	top := sizes[0]
	if q.addr.Addr().Is6() {
		top = sizes[1]
	}
	if now.Before(q.sizeDue) {
		next.at(q.sizeDue)
		return
	}
	switch {
	case q.mtu >= top:
		q.sizeTries = 0
	case q.sizeTries == sizeTries: // what has not answered by now does not
		q.mtu = max(q.mtu, maxDatagram)
		q.sizeTries, q.sizeDue = 0, now.Add(sizeEvery)
		p.settle(now, out)
		next.at(q.sizeDue)
		return
	}
	try := sizes[:]
	if q.sizeTries == 0 {
		try = sizes[:sizesFirst]
	}
	for _, size := range try {
		if size <= top && (size > q.mtu || q.mtu >= top) {
			p.pingSized(q, size, now, out)
		}
	}
	q.sizeTries++
	wait := sizeAgain * time.Duration(q.sizeTries)
	if q.mtu >= top {
		wait = sizeEvery
	}
	q.sizeDue = now.Add(wait)
	next.at(q.sizeDue)
}

// pingSized sends a ping of the given size. That it is lost says nothing of
// the path.
func (p *peer) pingSized(q *path, size int, now time.Time, out *outbox) {
	txid := rand.Uint64()
	p.c.notePing(outstanding{txid: txid, to: q.place, at: now, size: size, sent: p.sentOn(q.place)})
	out.add(p, kindPing, p.c.boot, appendTxid(nil, txid), q.place, q.src)
	out.items[len(out.items)-1].size = size
}

// carried notes that a ping of the size has arrived.
func (q *path) carried(size int, now time.Time) {
	if size <= q.mtu {
		return
	}
	q.mtu = size
	if size >= sizes[0] || size == sizes[1] && q.addr.Addr().Is6() {
		q.sizeDue = now.Add(sizeEvery)
	}
}
