package wire

import (
	"container/heap"
	"time"
)

// due is when a peer wants its step.
type due struct {
	when time.Time
	at   int // place in the schedule, -1 if not in it
}

// schedule has the peers that want a step, the next first.
type schedule []*peer

func (s schedule) Len() int           { return len(s) }
func (s schedule) Less(i, j int) bool { return s[i].due.when.Before(s[j].due.when) }
func (s schedule) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].due.at, s[j].due.at = i, j
}

func (s *schedule) Push(x any) {
	p := x.(*peer)
	p.due.at = len(*s)
	*s = append(*s, p)
}

func (s *schedule) Pop() any {
	old := *s
	p := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	p.due.at = -1
	return p
}

// set schedules the peer's next step; the zero time takes it out.
func (s *schedule) set(p *peer, when time.Time) {
	switch {
	case when.IsZero():
		if p.due.at >= 0 {
			heap.Remove(s, p.due.at)
		}
	case p.due.at < 0:
		p.due.when = when
		heap.Push(s, p)
	default:
		p.due.when = when
		heap.Fix(s, p.due.at)
	}
}

// soon wants a step at once.
func (w *Wire) soon(p *peer, now time.Time) {
	if p.cut.Load() || w.closed {
		return
	}
	if p.due.at < 0 || now.Before(p.due.when) {
		w.schedule.set(p, now)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// loop takes the peers' steps when they are due.
func (w *Wire) loop() {
	defer w.wg.Done()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		w.turns.Add(1)
		timer.Reset(w.steps())
		select {
		case <-timer.C:
		case <-w.wake:
		case p := <-w.watchq:
			w.mu.Lock()
			if !p.cut.Load() {
				p.contact()
				w.soon(p, time.Now())
			}
			w.mu.Unlock()
		case addr := <-w.strangers:
			w.meet(addr)
		case <-w.done:
			return
		}
	}
}

// steps takes all steps that are due and returns how long to wait for the next.
func (w *Wire) steps() time.Duration {
	var out outbox
	now := time.Now()
	w.mu.Lock()
	for len(w.schedule) > 0 && !w.schedule[0].due.when.After(now) {
		p := w.schedule[0]
		w.schedule.set(p, p.step(now, &out))
	}
	if due := w.relays.due; !due.IsZero() && !due.After(now) {
		w.relayStep(now)
	}
	w.neighbours.tell(w, now)
	next := agenda{now: now}
	next.at(now.Add(time.Hour))
	for _, t := range []time.Time{w.relays.due, w.neighbours.due, w.askServers(now, &out)} {
		if !t.IsZero() {
			next.at(t)
		}
	}
	if len(w.schedule) > 0 {
		next.at(w.schedule[0].due.when)
	}
	wait := next.when.Sub(now)
	w.mu.Unlock()
	w.transmit(&out)
	return wait
}
