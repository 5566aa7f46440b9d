package wire

import (
	"cmp"
	"context"
	"slices"
	"time"

	"kith.internal/helper/internal/key"
)

const (
	maxRelays    = 8 // dealt with
	keptRelays   = 2
	measureEvery = 10 * time.Minute
	measureFor   = 5 * time.Second
	relayBetter  = 10 * time.Millisecond // and a third: then another one is kept

	linkAfter   = 400 * time.Millisecond // without an answer over UDP
	linkTimeout = 15 * time.Second
	linkSpare   = 3 * time.Minute // that a link outlives UDP's return
	linkMute    = 5 * time.Second // without an answer: the relay stalls
)

// linkBackoff is how long to wait after each link that failed in a row.
var linkBackoff = [...]time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second, time.Minute}

// relays chooses the relays to keep in touch with.
type relays struct {
	due      time.Time // of the next step; zero: none
	measured time.Time // when the latest round began
	settled  bool      // that round has been looked at
}

// relaying is what there is to know about a relay.
type relaying struct {
	kept     bool
	measured time.Time // till when it is sought to be measured
	lacking  time.Time // since when it is sought without a path over UDP; zero: not so
	has      time.Time // since when there is one
	dialing  bool
	link     *wireLink
	fails    int
	nextDial time.Time
	err      string
}

// sought tells whether the relay is kept or measured. A nil one is no relay.
func (r *relaying) sought(now time.Time) bool {
	return r != nil && (r.kept || now.Before(r.measured))
}

// mute tells whether the relay has taken our link and answers nothing.
func (r *relaying) mute(p *peer, now time.Time) bool {
	v := r.link
	return v != nil && !v.gone.Load() && now.Sub(v.since) >= linkMute &&
		!slices.ContainsFunc(p.c.paths.all, func(q *path) bool { return q.health == sound && !q.isChain() })
}

// relayPeers are the relays that we deal with, in a fixed order.
func (w *Wire) relayPeers() (out []*peer) {
	for _, p := range w.dir.Load().relays {
		if len(out) < maxRelays {
			p.contact()
			if p.c.relaying == nil {
				p.c.relaying = &relaying{}
			}
			out = append(out, p)
		}
	}
	return out
}

// relaysSoon has the relays looked at. Callers hold Wire.mu.
func (w *Wire) relaysSoon(now time.Time) {
	if w.relays.due.IsZero() || now.Before(w.relays.due) {
		w.relays.due = now
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// measureRelays has all relays measured afresh.
func (w *Wire) measureRelays(now time.Time) {
	w.relays.measured = time.Time{}
	for _, p := range w.relayPeers() {
		r := p.c.relaying
		r.fails, r.nextDial = 0, time.Time{}
	}
	w.relaysSoon(now)
}

// relayStep measures, chooses and links, as is due.
func (w *Wire) relayStep(now time.Time) {
	next := agenda{now: now}
	all := w.relayPeers()
	if len(all) == 0 {
		w.relays = relays{}
		return
	}
	s := &w.relays
	if s.measured.IsZero() || now.Sub(s.measured) >= measureEvery {
		s.measured, s.settled = now, false
		for _, p := range all {
			p.c.relaying.measured = now.Add(measureFor)
			p.again(now)
		}
	}
	if end := s.measured.Add(measureFor); now.Before(end) {
		next.at(end)
	} else if !s.settled {
		s.settled = true
		w.keepRelays(all, now)
	}
	if s.settled && slices.ContainsFunc(all, func(p *peer) bool { return p.c.relaying.kept && p.helpless() }) {
		w.keepRelays(all, now)
	}
	next.at(s.measured.Add(measureEvery))
	for _, p := range all {
		w.tendLink(p, now, &next)
	}
	s.due = next.when
}

// keepRelays keeps the nearest ones; who is kept stays so unless another is
// clearly nearer.
func (w *Wire) keepRelays(all []*peer, now time.Time) {
	cost := func(p *peer) time.Duration {
		near := p.c.paths.near
		if near == nil || near.health == doubted {
			return time.Hour
		}
		d := near.rtt
		if p.c.relaying.kept {
			d -= max(relayBetter, d/3)
		}
		return d
	}
	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b *peer) int {
		if d := cmp.Compare(cost(a), cost(b)); d != 0 {
			return d
		}
		return -compareBool(a.c.relaying.kept, b.c.relaying.kept)
	})
	for i, p := range order {
		r := p.c.relaying
		keep := i < keptRelays
		if keep && !r.kept {
			r.kept = true
			p.again(now)
		}
		r.kept = keep
	}
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// overUDP tells whether there is a sound path over UDP.
func (p *peer) overUDP() bool {
	return slices.ContainsFunc(p.c.paths.all, func(q *path) bool { return q.isUDP() && q.health == sound })
}

// tendLink links to a relay that UDP does not reach, and ends a link that is
// not needed.
func (w *Wire) tendLink(p *peer, now time.Time, next *agenda) {
	r := p.c.relaying
	sought, udp := p.c.seeking(now), p.overUDP()
	switch {
	case !sought || udp:
		r.lacking = time.Time{}
	case r.lacking.IsZero():
		r.lacking = now
	}
	switch {
	case !udp:
		r.has = time.Time{}
	case r.has.IsZero():
		r.has = now
	}
	if r.link != nil && r.link.gone.Load() {
		r.link = nil
	}
	if r.link != nil {
		switch {
		case !sought:
			r.link.close()
		case udp && now.Sub(r.has) >= linkSpare:
			r.link.close()
		case udp:
			next.at(r.has.Add(linkSpare))
		}
		return
	}
	if r.lacking.IsZero() || r.dialing || w.dialLink == nil || w.closed {
		return
	}
	at := r.lacking.Add(linkAfter)
	if r.nextDial.After(at) {
		at = r.nextDial
	}
	if now.Before(at) {
		next.at(at)
		return
	}
	r.dialing = true
	relay := *p.relay
	w.wg.Go(func() { w.openLink(p, relay) })
}

// Link finds a path to a relay as Seek does, and opens a link to it at once
// unless one over UDP is up: for who knows that UDP gets no answer here.
func (w *Wire) Link(id key.Public) {
	w.Seek(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.relayPeers()
	if p := w.dir.Load().byID[id]; p != nil && p.c != nil && p.c.relaying != nil && !w.closed {
		p.c.relaying.lacking = now.Add(-linkAfter)
		w.relaysSoon(now)
	}
}

// openLink dials a relay.
func (w *Wire) openLink(p *peer, relay Relay) {
	ctx, cancel := context.WithTimeout(w.ctx, linkTimeout)
	defer cancel()
	l, err := w.dialLink(ctx, relay, func(binding []byte) ([]byte, error) {
		return p.sealDatagram(nil, header{kind: kindToken, from: w.boot}, binding)
	})
	var v *wireLink
	if err == nil && !p.cut.Load() {
		v = w.addLink(p.id, l)
	} else if err == nil {
		l.Close()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	r := p.c.relaying
	if r == nil { // no longer a relay
		if v != nil {
			v.close()
		}
		return
	}
	r.dialing, r.link = false, v
	if v != nil {
		r.fails, r.err = 0, ""
		p.again(now)
	} else {
		r.nextDial = now.Add(jittered(linkBackoff[min(r.fails, len(linkBackoff)-1)]))
		r.fails++
		if err != nil {
			r.err = err.Error()
		}
	}
	w.relaysSoon(now)
}
